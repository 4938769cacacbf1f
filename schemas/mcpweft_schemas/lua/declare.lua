-- needs ground
-- declare: make a pool, or change its settings.
-- KEYS  pool
-- ARGV  an incarnation to use if the pool is new, then setting, value, …
-- Gives the pool's incarnation.
-- Atomic: whoever sees the pool also sees its groups, so nothing can be enqueued that nobody can fetch.
if redis.call('EXISTS', pool) == 1 then even_if_full() end
redis.call('HSETNX', pool, 'inc', ARGV[1])
for i = 2, #ARGV, 2 do redis.call('HSET', pool, ARGV[i], ARGV[i + 1]) end
make_groups()
return redis.call('HGET', pool, 'inc')
