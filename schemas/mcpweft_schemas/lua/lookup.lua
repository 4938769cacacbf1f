-- needs ground record
-- lookup: the states of many requests.
-- KEYS  pool
-- ARGV  ids
-- Gives {incarnation, {state, code, outcome} an id}; '' where there is no record, no code, no kept outcome.
-- Reads only.
local answers = {redis.call('HGET', pool, 'inc') or ''}
for i = 1, #ARGV do
  local found = redis.call('HMGET', record_key(ARGV[i]), 'state', 'code', 'outcome')
  answers[i + 1] = {found[1] or '', found[2] or '', found[3] or ''}
end
return answers
