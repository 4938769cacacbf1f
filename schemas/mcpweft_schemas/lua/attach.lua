-- needs ground record
-- attach: wait on a request that somebody enqueued.
-- KEYS  pool
-- ARGV  id producer
-- Gives {word, state, code, outcome (msgpack of the reply's flat fields, '' where none is kept)}:
--       ATTACHED, SETTLED or UNKNOWN.
-- Atomic: the outcome is either there already or will be sent to this producer; there is no gap between.
local id, producer = ARGV[1], ARGV[2]
if not is_party(producer) then return redis.error_reply('ERR mcpweft: not a producer id') end
local r = load(id)
if not r then return {'UNKNOWN', '', '', ''} end
if is_final(r.state) then return {'SETTLED', r.state, r.code, redis.call('HGET', record_key(id), 'outcome') or ''} end
redis.call('HSET', record_key(id), 'waiters', with_word(r.waiters, producer))
return {'ATTACHED', r.state, '', ''}
