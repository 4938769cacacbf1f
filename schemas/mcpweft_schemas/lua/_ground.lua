-- Ground: what every move on a pool stands on. Put ahead of a move's own text by the loader.
-- KEYS[1] is the pool hash; every other key of the capability shares its hash tag and is built from it.
local pool = KEYS[1]
local base = string.sub(pool, 1, -5)
local GROUP = 'w'
local STREAMS = {'critical', 'high', 'normal', 'low', 'due'}
local DELIVERIES_CAP = 20
local CANCEL_GRACE = 1000
local RECORD_KEEP = 60000

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A whole number as text; Lua's own way costs twice as much, and writes large ones as 1e+15.
local function int(n) return string.format('%d', n) end

local KINDS = {stat = 'hash', safe = 'hash', readers = 'hash', delayed = 'zset', expiry = 'zset', picky = 'zset',
  dead = 'zset', usable = 'zset', alive = 'zset', bell = 'zset'}

local function wrong_key()
  local function wrong(name, kind)
    local is = redis.call('TYPE', base .. name).ok
    return is ~= 'none' and is ~= kind
  end
  for name, kind in pairs(KINDS) do if wrong(name, kind) then return base .. name end end
  for _, which in ipairs(STREAMS) do if wrong('q:' .. which, 'stream') then return base .. 'q:' .. which end end
end

-- How many entries each stream holds, leased ones too; `unsound` reads it.
local length = {}

-- A key of the wrong type would fail an item half-way: the error to answer before the first write, or nil.
-- Commands that read next to nothing look at each key: to ask for the TYPE of each costs twice as much.
local function unsound()
  local function failed(answer) return type(answer) == 'table' and answer.err end
  local bad = failed(redis.pcall('ZINTERCARD', '7', base .. 'bell', base .. 'picky', base .. 'delayed',
      base .. 'expiry', base .. 'dead', base .. 'usable', base .. 'alive', 'LIMIT', '1'))
    or failed(redis.pcall('HLEN', base .. 'stat')) or failed(redis.pcall('HLEN', base .. 'safe'))
    or failed(redis.pcall('HLEN', base .. 'readers'))
  for _, which in ipairs(STREAMS) do
    length[which] = redis.pcall('XLEN', base .. 'q:' .. which)
    bad = bad or failed(length[which])
  end
  if bad then return redis.error_reply('WRONGTYPE mcpweft key ' .. (wrong_key() or base)) end
end

-- A full store refuses a script that begins by adding, and lets the rest pass once it has taken away: what keeps
-- the fleet alive or ends work begins so, for only then does a full store drain.
local function even_if_full() redis.call('ZREM', base .. 'bell', '0') end

-- Figures are gathered here and written once at the end of the move.
local tally = {}
local function count(what, n) tally[what] = (tally[what] or 0) + (n or 1) end
local function write_tally()
  for what, n in pairs(tally) do
    if n ~= 0 then redis.call('HINCRBY', base .. 'stat', what, int(n)) end
  end
end

local function ring() redis.call('ZADD', base .. 'bell', 0, '1') end

-- Workers that hold back watch streams instead of the bell: one of its own tells them of what is delayed. They are
-- there only while there are shares. It also tells those whose server is at its limit that a call has ended.
local function stir(always)
  if always or redis.call('EXISTS', base .. 'shares') == 1 then
    redis.pcall('XADD', base .. 'stir', 'MAXLEN', '1', '*', 'v', '1')
    redis.call('PEXPIRE', base .. 'stir', '60000')
  end
end

-- How many entries of the class streams nobody has taken.
local function untaken()
  local n = 0
  for i = 1, 4 do
    local stream = base .. 'q:' .. STREAMS[i]
    local length = redis.call('XLEN', stream)
    if length > 0 then
      local pending = redis.pcall('XPENDING', stream, GROUP)
      n = n + length - (pending[1] or 0)
    end
  end
  return n
end

local function make_groups()
  for _, which in ipairs(STREAMS) do
    redis.pcall('XGROUP', 'CREATE', base .. 'q:' .. which, GROUP, '0', 'MKSTREAM')
  end
end

-- The same epoch rule for everyone who acts on another's behalf: a lower one than the highest seen is refused.
local function stale_leader(epoch)
  local seen = tonumber(redis.call('HGET', pool, 'epoch') or '0')
  if epoch < seen then return true end
  if epoch > seen then redis.call('HSET', pool, 'epoch', int(epoch)) end
  return false
end
