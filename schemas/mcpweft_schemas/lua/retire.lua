-- needs ground circuit
-- retire: a worker leaves a pool, or is removed once it is dead and its work is taken back.
-- KEYS  pool
-- ARGV  worker
-- Gives OK, or PENDING where it still has deliveries (removing its consumer would drop them).
-- The last one of an instance takes its breaker's record along, unless somebody ordered what it says.
-- Atomic: nothing can become pending between the look and the removal.
local worker = ARGV[1]
redis.call('ZREM', base .. 'usable', worker)
for _, which in ipairs(STREAMS) do
  local pending = redis.pcall('XPENDING', base .. 'q:' .. which, GROUP, '-', '+', '1', worker)
  if type(pending) == 'table' and not pending.err and #pending > 0 then return 'PENDING' end
end
for _, which in ipairs(STREAMS) do
  redis.pcall('XGROUP', 'DELCONSUMER', base .. 'q:' .. which, GROUP, worker)
end
redis.call('ZREM', base .. 'alive', worker)
local info = redis.call('HGET', base .. 'members', worker)
redis.call('HDEL', base .. 'members', worker)
if info then
  local instance = who_is(worker, info)
  local left = circuit_key(instance)
  if not STICKS[redis.call('HGET', left, 'state') or ''] and not has_owner(instance) then redis.call('DEL', left) end
end
redis.call('HDEL', base .. 'load', worker)
redis.call('HDEL', base .. 'shares', worker)
redis.call('HDEL', base .. 'readers', worker)
redis.call('DEL', base .. 'ctl:' .. worker)
return 'OK'
