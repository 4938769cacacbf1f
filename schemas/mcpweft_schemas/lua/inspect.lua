-- needs ground record
-- inspect: all that is known of one request.
-- KEYS  pool
-- ARGV  id
-- Gives {now, ahead, name, value, …}: ahead is how many of its class go before it, -1 where it is not queued
--       or more than 1000 do. An empty list for an unknown id. The held body and the outcome are left out.
-- Reads only.
local r = load(ARGV[1])
if not r then return {} end
local ahead = -1
if r.state == 'queued' then
  local group = redis.pcall('XINFO', 'GROUPS', r.stream)[1] or {}
  local from = '-'
  for i = 1, #group, 2 do if group[i] == 'last-delivered-id' then from = '(' .. group[i + 1] end end
  local before = redis.call('XRANGE', r.stream, from, '(' .. r.entry, 'COUNT', '1001')
  if #before <= 1000 then ahead = #before end
end
local answer = {int(now), int(ahead)}
for _, field in ipairs(FIELDS) do
  if field ~= 'held' then
    answer[#answer + 1] = field
    answer[#answer + 1] = type(r[field]) == 'number' and int(r[field]) or r[field]
  end
end
answer[#answer + 1] = 'due'
answer[#answer + 1] = redis.call('ZSCORE', base .. 'delayed', r.id) or ''
return answer
