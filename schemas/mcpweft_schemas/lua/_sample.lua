-- Sample: how a pool stands, told once in each slot of 10 s by whoever sweeps. In a slot, the field `#` is a picture of
-- the pool's counters, the newest of the slot, packed as {ms, counter, …}; `=` has the levels of the pool and
-- `@<server>` those of its usable workers, summed over the looks of the slot, so that a mean is a sum by the looks.
local COUNTERS = {'accepted', 'done', 'dead', 'cancelled', 'expired', 'took', 'retried', 'unretried', 'released',
  'reclaimed', 'turned_away'}

local function put(levels, figure, level)
  if level > 0 then levels[#levels + 1], levels[#levels + 2] = figure, level end
end

-- {looks, waiting by class, running, delayed}, as figures from 0 on.
local function pool_levels()
  local levels = {0, 1}
  local running = 0
  for i, which in ipairs(STREAMS) do
    local stream = base .. 'q:' .. which
    local pending = redis.pcall('XPENDING', stream, GROUP)
    local leased = type(pending) == 'table' and not pending.err and pending[1] or 0
    running = running + leased
    if which ~= 'due' then
      put(levels, i, redis.call('XLEN', stream) - leased)
    end
  end
  put(levels, 5, running)
  put(levels, 6, redis.call('ZCARD', base .. 'delayed'))
  return levels
end

-- Server → {looks, usable workers, slots, calls in flight}, as figures from 0 on, by what its workers said last.
local function server_levels()
  local sums, servers = {}, {}
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', base .. 'usable', int(now), '+inf')) do
    local _, info = pcall(cmsgpack.unpack, redis.call('HGET', base .. 'members', worker) or '')
    local _, load = pcall(cmsgpack.unpack, redis.call('HGET', base .. 'load', worker) or '')
    local server = type(info) == 'table' and info.server
    if type(server) == 'string' and type(load) == 'table' then
      local sum = sums[server] or {0, 0, 0}
      sums[server] = {sum[1] + 1, sum[2] + (tonumber(load.slots) or 0), sum[3] + (tonumber(load.in_flight) or 0)}
    end
  end
  for server, sum in pairs(sums) do
    servers[server] = {0, 1}
    for figure, level in ipairs(sum) do put(servers[server], figure, level) end
  end
  return servers
end

local function sample()
  local picture = {now}
  for i, counter in ipairs(redis.call('HMGET', base .. 'stat', unpack(COUNTERS))) do
    picture[i + 1] = tonumber(counter or '0') or 0
  end
  local levels, servers = pool_levels(), server_levels()
  each_slot(function(key)
    redis.call('HSET', key, '#', cmsgpack.pack(picture))
    redis.call('HSET', key, '=', added(amounts(redis.call('HGET', key, '=')), levels))
    for server, told in pairs(servers) do
      local field = '@' .. server
      redis.call('HSET', key, field, added(amounts(redis.call('HGET', key, field)), told))
    end
  end)
end
