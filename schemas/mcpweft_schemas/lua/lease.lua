-- needs nothing
-- lease: take, renew or give up a lease (leadership, or an exclusive server).
-- KEYS  the lease (hash holder epoch until)
-- ARGV  holder ttl_ms (0: give up)
-- Gives {word, epoch, holder, left_ms}: OK where the caller holds it now, HELD where another does.
-- Atomic: one holder at a time by the store's own clock, and each new holder has a higher epoch than all before.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local holder, ttl = ARGV[1], tonumber(ARGV[2])
local found = redis.call('HMGET', KEYS[1], 'holder', 'epoch', 'until')
local epoch, over = tonumber(found[2] or '0'), tonumber(found[3] or '0')
redis.call('PERSIST', KEYS[1]) -- begins by adding nothing: a full store must not cost the leader its lease
local mine, free = found[1] == holder, not found[1] or over <= now
if ttl == 0 then
  if mine then redis.call('HSET', KEYS[1], 'until', '0') end
  return {'OK', int(epoch), '', '0'}
end
if not mine and not free then return {'HELD', int(epoch), found[1], int(over - now)} end
if not mine or free then epoch = epoch + 1 end
redis.call('HSET', KEYS[1], 'holder', holder, 'epoch', int(epoch), 'until', int(now + ttl))
return {'OK', int(epoch), holder, int(ttl)}
