-- needs ground
-- status: the figures of one pool.
-- KEYS  pool
-- ARGV  horizons, ms (0 or more of them)
-- Gives {now, settings (flat), stat (flat), lengths (critical high normal low due), pending (the same order),
--       delayed, dead, alive (worker, beat, …), usable (worker, until, …), members (flat), load (flat),
--       delayed that are due or parked for fairness among tenants, and for each horizon how many live requests are over by then};
--       an empty list where there is no pool.
-- Reads only.
local settings = redis.call('HGETALL', pool)
if #settings == 0 then return {} end
local lengths, pending = {}, {}
for i, which in ipairs(STREAMS) do
  local stream = base .. 'q:' .. which
  lengths[i] = redis.call('XLEN', stream)
  local summary = redis.pcall('XPENDING', stream, GROUP)
  pending[i] = type(summary) == 'table' and not summary.err and summary[1] or 0
end
local over = {}
for i, horizon in ipairs(ARGV) do
  over[i] = redis.call('ZCOUNT', base .. 'expiry', '-inf', int(now + tonumber(horizon)))
end
local parked = math.max(0, tonumber(redis.call('HGET', base .. 'stat', 'parked') or '0'))
return {int(now), settings, redis.call('HGETALL', base .. 'stat'), lengths, pending,
  redis.call('ZCARD', base .. 'delayed'), redis.call('ZCARD', base .. 'dead'),
  redis.call('ZRANGE', base .. 'alive', '0', '-1', 'WITHSCORES'),
  redis.call('ZRANGE', base .. 'usable', '0', '-1', 'WITHSCORES'),
  redis.call('HGETALL', base .. 'members'), redis.call('HGETALL', base .. 'load'),
  redis.call('ZCOUNT', base .. 'delayed', '-inf', int(now)) + parked, over}
