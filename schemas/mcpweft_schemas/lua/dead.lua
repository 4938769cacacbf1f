-- needs ground record
-- dead: list dead letters, newest first.
-- KEYS  pool
-- ARGV  offset most
-- Gives {id, ended_ms, tool, class, code, cause log, executed, tenant} a letter.
-- Reads only.
local answers = {}
for _, id in ipairs(redis.call('ZREVRANGE', base .. 'dead', ARGV[1], int(ARGV[1] + ARGV[2] - 1))) do
  local r = load(id)
  if r then answers[#answers + 1] = {id, r.ended, r.tool, r.class, r.code, r.log, r.executed, r.tenant} end
end
return answers
