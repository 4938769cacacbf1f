-- needs ground record deliver limits
-- fetch: hand a worker up to as many requests as it has free slots.
-- KEYS  pool
-- ARGV  worker server instance incarnation epoch slots versions (space-separated) hold_ms depth
-- Gives {word, now, next_due_ms or -1, more (0|1), deliveries…}.
-- A worker with a hold takes what has been ready for so long, and what waits beyond `depth`. What it leaves it rings
-- for, and next_due_ms says when the next of it will have been ready for long enough.
-- LIMITED: the server may start nothing now; next_due_ms says when, where that is a question of time, and an entry on
-- `stir` that something has ended.
-- Atomic: an entry is pending for its worker exactly when its record says running, with that entry. A reader
-- that lost an answer raises its epoch (adopt), so bytes of an older fetch that arrive late are STALE.
local worker, server, instance, inc = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local epoch, slots = tonumber(ARGV[5]), tonumber(ARGV[6])
local hold, depth = tonumber(ARGV[8] or '0'), tonumber(ARGV[9] or '0')
local LOOK, READS, BYTES = 64, 50, 1048576
local WEIGHT = {8, 4, 2, 1}
local TAKEN = {'state', 'stream', 'entry', 'class', 'tool', 'v', 'safe', 'attempt', 'deliveries', 'max', 'deadline',
  'start_by', 'attempt_ms', 'flags', 'accepted', 'size', 'tenant'}
local versions = {}
for _, v in ipairs(words(ARGV[7])) do versions[v] = true end

if redis.call('HGET', pool, 'inc') ~= inc then return {'WIPED', int(now), '-1', '0'} end
local reader = redis.call('HGET', base .. 'readers', worker)
if not reader then return {'UNKNOWN', int(now), '-1', '0'} end
if tonumber(reader) > epoch then return {'STALE', int(now), '-1', '0'} end
local bad = unsound()
if bad then return bad end

local out, reads, bytes, next_due, left = {}, 0, 0, -1, false
local heirs = false -- whether requests that were parked have come into a stream meanwhile
read_limits()

local function sooner(at)
  if next_due < 0 or at < next_due then next_due = at end
end

local function read(which, n)
  local stream = base .. 'q:' .. which
  local got = redis.pcall('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', int(n), 'STREAMS', stream, '>')
  if type(got) == 'table' and got.err then
    make_groups()
    count('regrouped')
    got = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', int(n), 'STREAMS', stream, '>')
  end
  return stream, got and got[1] and got[1][2] or {}
end

local function drop(stream, entry)
  redis.call('XACK', stream, GROUP, entry)
  redis.call('XDEL', stream, entry)
  count('dropped')
end

-- After a lost group everything is new again: what a worker is running goes back to that worker's pending list.
local function give_back(r, stream, entry)
  redis.call('XCLAIM', stream, GROUP, r.worker, '0', entry, 'JUSTID')
  count('given_back')
end

local function too_late(r)
  return r.deadline <= now or (r.start_by > 0 and r.start_by <= now and r.deliveries == 0)
end

local safe = {}
local function is_safe(tool)
  if not safe[tool] then safe[tool] = redis.call('HGET', base .. 'safe', server .. '/' .. tool) or '0' end
  return safe[tool]
end

local function start(r, stream, entry, fields)
  r.run = r.safe ~= '' and r.safe or is_safe(r.tool)
  r.attempt, r.deliveries = r.attempt + 1, r.deliveries + 1
  redis.call('HSET', record_key(r.id), 'state', 'running', 'stream', stream, 'entry', entry, 'worker', worker,
    'server', server, 'run', r.run, 'attempt', int(r.attempt), 'deliveries', int(r.deliveries), 'started', int(now))
  if r.start_by > 0 and r.deliveries == 1 then redis.call('ZADD', base .. 'expiry', int(r.deadline), r.id) end
  if has(r.flags, 'u') then redis.call('ZREM', base .. 'picky', r.id) end
  if limited then book_start(r, server) end
  bytes = bytes + r.size
  out[#out + 1] = delivery(r, stream, entry, fields)
end

-- Whether a tool of this server is at its limit; looked at anew, since this very fetch may have filled it.
local function at_limit(tool)
  local name = server .. '/' .. tool
  if not limits[name] then return false end
  local room, due = room_under(name)
  if room > 0 then return false end
  if due then sooner(due) end
  return true
end

local function put_aside(r)
  redis.call('HSET', record_key(r.id), 'under', 'aside')
  redis.call('ZADD', base .. 'aside:' .. r.tool, r.accepted, r.id)
  redis.call('HSET', base .. 'asides', r.tool, '1')
  redis.call('ZADD', base .. 'delayed', int(r.deadline), r.id) -- due by itself only to end
end

local function set_aside(r, stream, entry, fields)
  drop(stream, entry)
  count('dropped', -1)
  redis.call('HSET', record_key(r.id), 'state', 'delayed', 'held', cmsgpack.pack(fields))
  put_aside(r)
end

-- One entry that XREADGROUP has just made pending for this worker.
local function receive(stream, entry, fields)
  local id = field(fields, 'id')
  local r = id and load(id, TAKEN)
  if r and r.state == 'running' and r.stream == stream and r.entry == entry then return give_back(r, stream, entry) end
  if not r or r.state ~= 'queued' or r.entry ~= entry then return drop(stream, entry) end
  if succeed(r) then heirs = true end
  if too_late(r) then
    drop(stream, entry)
    count('dropped', -1)
    return finish(r, {state = 'expired', code = 'TIMEOUT', cause = 'QUEUE_TIMEOUT', executed = r.executed})
  end
  if not versions[string.match(r.v, '^%d+')] then
    drop(stream, entry)
    count('dropped', -1)
    redis.call('HSET', record_key(id), 'state', 'delayed', 'held', cmsgpack.pack(fields))
    return due_at(r, now, now)
  end
  if limited and at_limit(r.tool) then return set_aside(r, stream, entry, fields) end
  start(r, stream, entry, fields)
end

-- Added and read in one move: nothing ever waits in this stream, so the entry read is the entry added.
local function take_now(r, fields)
  local entry = redis.call('XADD', base .. 'q:due', '*', unpack(fields))
  redis.call('HDEL', record_key(r.id), 'held')
  local stream, got = read('due', 1)
  while got[1] and got[1][1] ~= entry do
    receive(stream, got[1][1], got[1][2])
    stream, got = read('due', 1)
  end
  start(r, stream, entry, fields)
end

local function take_due(r)
  local fields = cmsgpack.unpack(r.held)
  redis.call('ZREM', base .. 'delayed', r.id)
  if r.deliveries == 0 then
    local stream = base .. 'q:' .. r.class
    local entry = redis.call('XADD', stream, '*', unpack(fields))
    redis.call('HSET', record_key(r.id), 'state', 'queued', 'stream', stream, 'entry', entry)
    redis.call('HDEL', record_key(r.id), 'held')
    length[r.class] = length[r.class] + 1
    return
  end
  take_now(r, fields)
end

local function due_ones()
  local ids = redis.call('ZRANGEBYSCORE', base .. 'delayed', '-inf', int(now), 'LIMIT', '0', int(LOOK))
  for _, id in ipairs(ids) do
    if #out >= slots or bytes > BYTES then
      left = true
      return
    end
    local r = load(id)
    if not r or r.state ~= 'delayed' then
      redis.call('ZREM', base .. 'delayed', id)
    elseif too_late(r) then
      take_out(r)
      finish(r, {state = 'expired', code = 'TIMEOUT', cause = 'QUEUE_TIMEOUT', executed = r.executed})
    elseif versions[string.match(r.v, '^%d+')] then
      local tried = with_word(r.tried, instance) == r.tried
      if tried and now < r.due_again then sooner(r.due_again)
      elseif limited and at_limit(r.tool) then put_aside(r)
      else take_due(r) end
    end
  end
end

-- Those that were set aside, tool by tool, as far as this server may take them; also where the limit is gone meanwhile.
local function asides()
  for _, tool in ipairs(redis.call('HKEYS', base .. 'asides')) do
    local key = base .. 'aside:' .. tool
    while #out < slots and bytes <= BYTES and redis.call('EXISTS', key) == 1 and not at_limit(tool) do
      local id = redis.call('ZRANGE', key, '0', '0')[1]
      local r = load(id)
      if not r or r.state ~= 'delayed' then
        redis.call('ZREM', key, id)
      elseif too_late(r) then
        take_out(r)
        finish(r, {state = 'expired', code = 'TIMEOUT', cause = 'QUEUE_TIMEOUT', executed = r.executed})
      elseif not versions[string.match(r.v, '^%d+')] then
        break -- for a newer worker, and what is behind it too: one of its kind
      else
        leave_aside(r)
        redis.call('ZREM', base .. 'delayed', r.id)
        take_now(r, cmsgpack.unpack(r.held))
      end
    end
    if redis.call('EXISTS', key) == 0 then
      redis.call('HDEL', base .. 'asides', tool)
    elseif #out >= slots and not at_limit(tool) then
      left = true
    end
  end
end

-- What the server as a whole may start now.
if limited then
  local room, due = room_under(server)
  if (paused[server] or 0) > now then
    room, due = 0, paused[server]
  elseif paused[server] then
    redis.call('HDEL', base .. 'limits', 'pause ' .. server)
  end
  if room < 1 then
    even_if_full()
    ring()
    return {'LIMITED', int(now), int(due and due - now or -1), '0'}
  end
  slots = math.min(slots, room)
end

local stat = redis.call('HMGET', base .. 'stat', 'turn', 'bytes', 'parked')
local parked, served = stat[3] and stat[3] ~= '0', 0

-- Takes up to `n` of the parked requests of a class, its tenants in turn: those whose lead was lost without a word, for
-- any other goes into the stream in time.
local function draw(class, n)
  local ring_key, got = base .. 'ring:' .. class, 0
  while got < n and #out < slots and bytes <= BYTES do
    local mark = redis.call('ZRANGE', ring_key, '0', '0')[1]
    if not mark then break end
    local key = park_key(class, mark)
    local id = redis.call('ZRANGE', key, '0', '0')[1]
    if not id then
      redis.call('ZREM', ring_key, mark)
    else
      served, got = served + 1, got + 1
      redis.call('ZADD', ring_key, string.format('%.3f', now + served / 1000), mark)
      local r = load(id)
      if not r or r.state ~= 'delayed' or r.under ~= 'parked' then
        unpark(class, mark, id)
      elseif too_late(r) then
        take_out(r)
        finish(r, {state = 'expired', code = 'TIMEOUT', cause = 'QUEUE_TIMEOUT', executed = r.executed})
      else
        leave_park(r)
        if not versions[string.match(r.v, '^%d+')] then
          due_at(r, now, now)
        elseif limited and at_limit(r.tool) then
          put_aside(r)
        else
          take_now(r, cmsgpack.unpack(r.held))
        end
      end
    end
  end
  return got
end

local function has_ring(class) return parked and redis.call('EXISTS', base .. 'ring:' .. class) == 1 end

local function any_ring()
  for i = 1, 4 do if has_ring(STREAMS[i]) then return true end end
  if parked then
    redis.call('HDEL', base .. 'stat', 'parked')
    tally.parked = nil
  end
  return false
end

local waiting = hold > 0 and untaken() or 0

-- The id of the entry that was taken last: what lies behind it, nobody has.
local function last_taken(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, group in ipairs(groups.err and {} or groups) do
    if field(group, 'name') == GROUP then return field(group, 'last-delivered-id') end
  end
  return '0-0'
end

-- How many of the next `n` of a class a worker that holds back may take.
local function ripe(which, n)
  if waiting - depth >= n then return n end
  local stream = base .. 'q:' .. which
  local old = redis.call('XRANGE', stream, '(' .. last_taken(stream), int(now - hold), 'COUNT', int(n))
  return math.max(0, waiting - depth, #old)
end

local function until_ripe(which)
  local stream = base .. 'q:' .. which
  local head = redis.call('XRANGE', stream, '(' .. last_taken(stream), '+', 'COUNT', '1')[1]
  local at = head and tonumber(string.match(head[1], '^%d+')) + hold
  if at and at > now then sooner(at) end
end

-- Deficit round robin over the classes; the turn and the deficits are carried from fetch to fetch. A class that is
-- found empty is passed over, and the last one that is not may have all the rest.
local function new_ones()
  local turn = words(stat[1] or '1 0 0 0 0')
  for i = 1, 5 do turn[i] = tonumber(turn[i]) or 0 end
  local size = tonumber(stat[2] or '0') / math.max(1, redis.call('ZCARD', base .. 'expiry'))
  local chunk = math.max(1, math.floor(BYTES / math.max(1, size)))
  local empty, dry, at = {}, 0, math.max(1, turn[1])
  for i = 1, 4 do
    if length[STREAMS[i]] == 0 and not has_ring(STREAMS[i]) then empty[i], dry, turn[i + 1] = true, dry + 1, 0 end
  end
  while #out < slots and reads < READS and bytes <= BYTES and dry < 4 do
    if not empty[at] then
      if turn[at + 1] <= 0 then turn[at + 1] = WEIGHT[at] end
      local want = math.min(slots - #out, dry == 3 and READS or turn[at + 1], READS - reads, chunk)
      local may = hold > 0 and ripe(STREAMS[at], want) or want
      local stream, got = '', {}
      if may > 0 then stream, got = read(STREAMS[at], may) end
      for _, item in ipairs(got) do receive(stream, item[1], item[2]) end
      local taken = #got
      if parked and not heirs and hold <= 0 and taken < want then
        taken = taken + draw(STREAMS[at], want - taken)
      end
      reads, waiting = reads + taken, waiting - #got
      local over = taken < want and not heirs
      heirs = false
      turn[at + 1] = over and 0 or math.max(0, turn[at + 1] - taken)
      if over then empty[at], dry = true, dry + 1 end
    end
    if turn[at + 1] <= 0 then at = at % 4 + 1 end
  end
  turn[1] = at
  local text = table.concat(turn, ' ')
  if reads > 0 and text ~= stat[1] then redis.call('HSET', base .. 'stat', 'turn', text) end
  if dry == 4 then
    any_ring() -- which puts the number of the parked right, where it is wrong
    return false
  end
  return untaken() > 0 or any_ring()
end

due_ones()
asides()
local more = new_ones() or left
if hold > 0 then
  for i = 1, 4 do if length[STREAMS[i]] > 0 then until_ripe(STREAMS[i]) end end
end
if more or waiting > 0 then ring() end
local head = redis.call('ZRANGEBYSCORE', base .. 'delayed', '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
if head[2] then sooner(tonumber(head[2])) end
write_tally()
return {'OK', int(now), int(next_due < 0 and -1 or math.max(0, next_due - now)), more and '1' or '0', unpack(out)}
