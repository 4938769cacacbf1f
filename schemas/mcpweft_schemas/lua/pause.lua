-- needs ground
-- pause: a server asked to be left alone for a while; no worker of it fetches from this pool before that is over.
-- KEYS  pool
-- ARGV  server ms
-- Gives OK, or UNKNOWN where there is no pool.
-- Atomic: a pause only grows, so of two answers to calls that ran side by side the longer one counts.
if redis.call('EXISTS', pool) == 0 then return 'UNKNOWN' end
even_if_full()
local field, till = 'pause ' .. ARGV[1], now + tonumber(ARGV[2])
local known = tonumber(redis.call('HGET', base .. 'limits', field) or '0')
if till > known then redis.call('HSET', base .. 'limits', field, int(till)) end
return 'OK'
