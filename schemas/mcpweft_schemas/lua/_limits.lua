-- Limits: how much of a pool's work a server, or one of its tools, may have at a time and per second, in the whole
-- fleet. `limits` holds `<server>` and `<server>/<tool>` → `per_second burst most` (0: no such limit), as its
-- workers registered, and `pause <server>` → until when it asked to be left alone. What runs under a limit lies in
-- `busy:<limit>` (zset id → since), and what a bucket still holds in `rate:<limit>` until it is full again. A request
-- whose tool is at its limit is set aside: delayed, in `aside:<tool>`, where any server's worker may find it; `asides`
-- says of which tools there may be some.
local RECHECKED = 8

local limits -- limit → {rate, burst, most}, of all servers; nil until it was looked at
local paused = {}
local limited = false -- whether there is any

local function read_limits()
  if limits then return end
  limits = {}
  local flat = redis.call('HGETALL', base .. 'limits')
  for i = 1, #flat, 2 do
    local resting = string.match(flat[i], '^pause (.+)$')
    if resting then
      paused[resting] = tonumber(flat[i + 1])
    else
      local rate, burst, most = string.match(flat[i + 1], '^(%S+) (%S+) (%S+)$')
      limits[flat[i]] = {rate = tonumber(rate), burst = tonumber(burst), most = tonumber(most)}
    end
    limited = true
  end
end

-- A killed worker's delivery goes by reclaim, which takes it out; this is for what no move has seen end.
local function recheck(name)
  for _, id in ipairs(redis.call('ZRANGE', base .. 'busy:' .. name, '0', int(RECHECKED - 1))) do
    local state, under = unpack(redis.call('HMGET', record_key(id), 'state', 'under'))
    if state ~= 'running' or not under then redis.call('ZREM', base .. 'busy:' .. name, id) end
  end
end

-- What the bucket of a rate holds now; read once a script, and counted down by `book_start`.
local function level_of(name, limit)
  if not limit.level then
    local level, at = string.match(redis.call('GET', base .. 'rate:' .. name) or '', '^(%S+) (%S+)$')
    level, at = tonumber(level) or limit.burst, tonumber(at) or now
    limit.level = math.min(limit.burst, level + math.max(0, now - at) * limit.rate / 1000)
  end
  return limit.level
end

-- How many more may start under a limit now, and when there is more where that is a question of time.
local function room_under(name)
  local limit = limits[name]
  if not limit then return math.huge end
  local room, due = math.huge, nil
  if limit.most > 0 then
    local busy = redis.call('ZCARD', base .. 'busy:' .. name)
    if busy >= limit.most then
      recheck(name)
      busy = redis.call('ZCARD', base .. 'busy:' .. name)
    end
    room = math.max(0, limit.most - busy)
  end
  if limit.rate > 0 then
    local level = level_of(name, limit)
    if level < 1 then due = now + math.ceil((1 - level) * 1000 / limit.rate) end
    room = math.min(room, math.floor(level))
  end
  return room, due
end

-- Books the start of a delivery under the limits of its server and its tool.
local function book_start(r, server)
  local under = {}
  for _, name in ipairs({server, server .. '/' .. r.tool}) do
    local limit = limits[name]
    if limit then
      if limit.most > 0 then redis.call('ZADD', base .. 'busy:' .. name, int(now), r.id) end
      if limit.rate > 0 then
        limit.level = level_of(name, limit) - 1
        local full = math.ceil((limit.burst - limit.level) * 1000 / limit.rate)
        local told = string.format('%.6f %d', limit.level, now)
        redis.call('SET', base .. 'rate:' .. name, told, 'PX', int(math.max(1, full)))
      end
      under[#under + 1] = name
    end
  end
  if #under > 0 then redis.call('HSET', record_key(r.id), 'under', table.concat(under, ' ')) end
end
