-- needs ground record
-- purge: forget dead letters.
-- KEYS  pool
-- ARGV  ids
-- Gives how many were forgotten.
-- Atomic: a letter's place among the dead and its body go together.
local gone = 0
for i = 1, #ARGV do
  if redis.call('ZREM', base .. 'dead', ARGV[i]) == 1 then
    local r = load(ARGV[i])
    redis.call('HDEL', record_key(ARGV[i]), 'held')
    -- What an idempotency key promises outlives the letter.
    redis.call('PEXPIRE', record_key(ARGV[i]), int(math.max(RECORD_KEEP, r and r.key_keep or 0)))
    gone = gone + 1
  end
end
return gone
