-- needs ground slot
-- book: add what a worker has counted of its attempts to the slots of this moment.
-- KEYS  pool
-- ARGV  who number, then series, amounts for each (at most 10)
--       series: `<server>/<tool>/<class>`; number: higher than that of every earlier book of `who` in this pool
-- Gives OK, REPEAT (written before, or a later one was), or UNKNOWN where there is no pool.
-- Atomic: both slots and the number change together, so what is said again is not counted again. A full store
-- refuses it: figures are the first thing to do without.
local MOST = 128 -- series of a slot by their tools; further ones are told by server and class, then by class alone
local KNOWN = '3600000' -- ms that a number is remembered, so that a repeat is known as one
if redis.call('EXISTS', pool) == 0 then return 'UNKNOWN' end
local mark, number = base .. 'a:by:' .. ARGV[1], tonumber(ARGV[2])
if number <= (tonumber(redis.call('GET', mark) or '0') or 0) then return 'REPEAT' end
redis.call('SET', mark, ARGV[2], 'PX', KNOWN)

-- The series that one is told under in a slot, and what it holds.
local function place(key, series, size)
  local server, class = string.match(series, '^([^/]*)/.*/([^/]*)$')
  local folded = server and {series, server .. '/*/' .. class, '*/*/' .. class} or {'*/*/*'}
  for i, name in ipairs(folded) do
    local held = redis.call('HGET', key, name)
    if held or size < MOST * i or i == #folded then return name, held, held and 0 or 1 end
  end
end

local told = {}
for i = 4, #ARGV, 2 do told[i] = amounts(ARGV[i]) end
each_slot(function(key)
  local size = redis.call('HLEN', key)
  for i = 3, #ARGV, 2 do
    local name, held, more = place(key, ARGV[i], size)
    redis.call('HSET', key, name, added(amounts(held), told[i + 1]))
    size = size + more
  end
end)
return 'OK'
