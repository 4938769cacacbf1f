-- needs ground slot
-- history: what was counted of a pool's work, slot by slot.
-- KEYS  pool
-- ARGV  width (10 or 600) from most: the slots that begin in `from` (seconds) and after it, so many of them at most
-- Gives {now, {start, fields (flat)} …}, oldest first, without the slots that hold nothing.
-- Reads only. Bounded by `most`, so that it never holds the store for long.
local width, from, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {int(now)}
from = from - from % width
for at = from, math.min(from + (most - 1) * width, math.floor(now / 1000)), width do
  local fields = redis.pcall('HGETALL', slot_key(width, at))
  if #fields > 0 then found[#found + 1] = {int(at), fields} end
end
return found
