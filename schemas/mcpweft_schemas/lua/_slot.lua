-- Slot: what was counted of work in a stretch of time. `a:10:<start>` is a slot of 10 s and lives for an hour,
-- `a:600:<start>` one of 10 min and lives for a week; `start` is in seconds. A slot is a hash, its fields are
-- series; each holds amounts by figure, packed as {figure, amount, figure, amount, …}, and to book is to add. What a
-- figure means is no affair of the scripts (figure.py).
local SLOTS = {{10, '3660000'}, {600, '605400000'}} -- seconds, and the ms that it lives after its last change
local FIGURES = 512 -- a higher figure is not kept, which bounds a series to a few KiB

local function slot_key(width, at) return base .. 'a:' .. int(width) .. ':' .. int(at - at % width) end

-- The figures of one that was packed, each with its amount behind it. Whatever else somebody has put there counts as
-- nothing.
local function amounts(packed)
  local read, list = pcall(cmsgpack.unpack, packed or '')
  if not read or type(list) ~= 'table' then return {} end
  for i = 1, #list, 2 do
    local figure, amount = list[i], list[i + 1]
    if type(figure) ~= 'number' or type(amount) ~= 'number' or figure < 0 or figure >= FIGURES or figure % 1 ~= 0
      or amount <= 0 or amount >= 2 ^ 53 then return {} end
  end
  return list
end

-- The amounts of both, packed. `held` is taken apart for it.
local function added(held, told)
  if #held == 0 then return cmsgpack.pack(told) end
  local places, n = {}, #held
  for i = 1, n, 2 do places[held[i]] = i + 1 end
  for i = 1, #told, 2 do
    local place = places[told[i]]
    if place then
      held[place] = held[place] + told[i + 1]
    else
      held[n + 1], held[n + 2], n = told[i], told[i + 1], n + 2
    end
  end
  return cmsgpack.pack(held)
end

-- Calls `visit(key)` for the slot of each width that this moment is in.
local function each_slot(visit)
  for _, slot in ipairs(SLOTS) do
    local key = slot_key(slot[1], math.floor(now / 1000))
    local kind = redis.call('TYPE', key).ok
    if kind == 'hash' or kind == 'none' then
      visit(key)
      redis.call('PEXPIRE', key, slot[2])
    end
  end
end
