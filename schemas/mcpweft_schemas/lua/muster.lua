-- needs nothing
-- muster: a launcher says that it is there for its servers, and hears how many workers are wanted and by whom.
-- KEYS  the launchers (zset `<server> <launcher>` → until)
-- ARGV  launcher ttl_ms (0: it leaves), then its servers
-- Gives {wanted (flat), present launchers (`<server> <launcher>`, sorted)}.
-- Atomic: all launchers that look at one moment see the same list, so their parts add up.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local ttl = tonumber(ARGV[2])
local base = string.sub(KEYS[1], 1, -10)
redis.call('ZREM', KEYS[1], '') -- begins by taking away: a full store lets it through
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now))) do redis.call('ZREM', KEYS[1], gone) end
for i = 3, #ARGV do
  local member = ARGV[i] .. ' ' .. ARGV[1]
  if ttl > 0 then
    redis.call('ZADD', KEYS[1], int(now + ttl), member)
  else
    redis.call('ZREM', KEYS[1], member)
  end
end
redis.call('PEXPIRE', KEYS[1], '60000')
local present = redis.call('ZRANGE', KEYS[1], '0', '-1')
table.sort(present)
return {redis.call('HGETALL', base .. 'wanted'), present}
