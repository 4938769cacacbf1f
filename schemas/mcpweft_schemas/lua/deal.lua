-- needs ground
-- deal: the leader says what each worker may take of a pool, and by which strategy.
-- KEYS  pool
-- ARGV  epoch strategy ttl_ms, then worker, share for each
-- Gives {word, strategy before}: OK, STALE where somebody has led with a higher epoch, or UNKNOWN.
-- Atomic: all shares of a pool change together, so no worker holds back for one that has a share of before.
-- They lapse, and then everybody takes what its server does: shares must not outlive who looks after them.
if redis.call('EXISTS', pool) == 0 then return {'UNKNOWN', ''} end
even_if_full()
if stale_leader(tonumber(ARGV[1])) then return {'STALE', ''} end
local before = redis.call('HGET', pool, 'strategy') or ''
if before ~= ARGV[2] then redis.call('HSET', pool, 'strategy', ARGV[2]) end
redis.call('DEL', base .. 'shares')
for i = 4, #ARGV, 2 do redis.call('HSET', base .. 'shares', ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', base .. 'shares', ARGV[3])
return {'OK', before}
