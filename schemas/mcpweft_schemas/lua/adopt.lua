-- needs ground record deliver
-- adopt: what a reader does after a fetch without an answer and after every reconnect.
-- KEYS  pool
-- ARGV  worker incarnation epoch, then `<stream> <entry>` of each delivery that it holds: the streams of two
--       classes may issue the same entry id
-- Gives {word, now, -1, 0, deliveries…}: the pending entries that it does not hold. They never started.
-- Atomic: with the epoch raised, no older fetch can add to the pending list after it was read.
local worker, inc, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', pool, 'inc') ~= inc then return {'WIPED', int(now), '-1', '0'} end
local bad = unsound()
if bad then return bad end
local seen = redis.call('HGET', base .. 'readers', worker)
if not seen then return {'UNKNOWN', int(now), '-1', '0'} end
if tonumber(seen) > epoch then return {'STALE', int(now), '-1', '0'} end
even_if_full()
redis.call('HSET', base .. 'readers', worker, int(epoch))
local held, out = {}, {}
for i = 4, #ARGV do held[ARGV[i]] = true end
for _, which in ipairs(STREAMS) do
  local stream = base .. 'q:' .. which
  for _, pending in ipairs(redis.pcall('XPENDING', stream, GROUP, '-', '+', '1000', worker)) do
    local entry = pending[1]
    if not held[stream .. ' ' .. entry] then
      local r, fields = delivered_by(stream, entry)
      if r and r.state == 'running' and r.entry == entry then
        out[#out + 1] = delivery(r, stream, entry, fields)
      else
        redis.call('XACK', stream, GROUP, entry)
        redis.call('XDEL', stream, entry)
      end
    end
  end
end
return {'OK', int(now), '-1', '0', unpack(out)}
