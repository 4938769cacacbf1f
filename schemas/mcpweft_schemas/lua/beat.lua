-- needs ground circuit
-- beat: a worker says that it lives and whether it can take work.
-- KEYS  pool
-- ARGV  worker incarnation usable_ms (0: takes no work now) load, then in its home pool: server instance
-- Gives {word, generation, share}: OK, or UNKNOWN / WIPED, after which it registers again. The generation is that of
--       the breaker which the worker goes by (0: none was ever moved); '' where its server and instance are not given.
--       The share is what was dealt to the worker in this pool; '' where nothing was, or it has lapsed.
-- Atomic: alive and usable change together.
local worker, inc, usable = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', pool, 'inc') ~= inc then return {'WIPED', '', ''} end
if redis.call('HEXISTS', base .. 'members', worker) == 0 then return {'UNKNOWN', '', ''} end
even_if_full()
redis.call('ZADD', base .. 'alive', int(now), worker)
if usable > 0 then
  redis.call('ZADD', base .. 'usable', int(now + usable), worker)
else
  redis.call('ZREM', base .. 'usable', worker)
end
redis.call('HSET', base .. 'load', worker, ARGV[4])
redis.call('PEXPIRE', base .. 'ctl:' .. worker, 60000)
local share = redis.call('HGET', base .. 'shares', worker) or ''
if not ARGV[5] then return {'OK', '', share} end
return {'OK', redis.call('HGET', circuit_key(governing(ARGV[5], ARGV[6])), 'generation') or '0', share}
