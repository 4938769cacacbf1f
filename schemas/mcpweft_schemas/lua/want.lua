-- needs nothing
-- want: the leader says how many workers each server should have.
-- KEYS  what is wanted (hash server → record)
-- ARGV  epoch ttl_ms, then server, record for each
-- Gives OK, or STALE where somebody has led with a higher epoch.
-- Atomic: the lease's epoch is looked at and the records are written together, so a leader that was followed while
-- it was stopped writes nothing.
local base = string.sub(KEYS[1], 1, -7)
if tonumber(ARGV[1]) < tonumber(redis.call('HGET', base .. 'lease:lead', 'epoch') or '0') then return 'STALE' end
redis.call('PERSIST', KEYS[1]) -- begins by adding nothing, so that a full store lets it through
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'OK'
