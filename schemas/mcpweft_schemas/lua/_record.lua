-- Record: reading a request's record, taking it out of where it lies, and the one place that ends it.
local FIELDS = {
  'state', 'class', 'tool', 'attempt', 'deliveries', 'max', 'stream', 'entry', 'last', 'worker', 'server',
  'safe', 'run', 'deadline', 'start_by', 'attempt_ms', 'flags', 'waiters', 'print', 'key', 'accepted',
  'started', 'ended', 'code', 'executed', 'tried', 'due_again', 'cancel', 'log', 'held', 'keep', 'key_keep',
  'v', 'size', 'tenant', 'under', 'rules',
}
local NUMBERS = {attempt = true, deliveries = true, max = true, deadline = true, start_by = true, due_again = true,
  cancel = true, keep = true, key_keep = true, size = true}
local UNSET = {executed = 'no', accepted = '0', started = '0', ended = '0', attempt_ms = '0'}
local RAN = {no = 0, maybe = 1, yes = 2}

local function record_key(id) return base .. 'r:' .. id end

local function fill(r, fields)
  local values = redis.pcall('HMGET', record_key(r.id), unpack(fields))
  if values.err or not values[1] then return nil end
  for i, field in ipairs(fields) do
    if rawget(r, field) == nil then
      local value = values[i] or UNSET[field] or ''
      r[field] = NUMBERS[field] and (tonumber(value) or 0) or value
    end
  end
  return r
end

local THE_REST = {__index = function(r, field)
  setmetatable(r, nil)
  fill(r, FIELDS)
  return rawget(r, field)
end}

-- Reads a record, or nil. A move that needs few fields as a rule names them, `state` first: half of a move's time
-- would go into reading all. The others are read once one of them is asked for.
local function load(id, fields)
  return fill(fields and setmetatable({id = id}, THE_REST) or {id = id}, fields or FIELDS)
end

local function is_final(state)
  return state == 'done' or state == 'dead' or state == 'cancelled' or state == 'expired'
end

local function has(flags, flag) return string.find(flags, flag, 1, true) ~= nil end

local function words(text)
  local list = {}
  for word in string.gmatch(text, '%S+') do list[#list + 1] = word end
  return list
end

local function with_word(text, word)
  for _, present in ipairs(words(text)) do if present == word then return text end end
  if text == '' then return word end
  return text .. ' ' .. word
end

-- A party's id becomes part of a key: never take one that could leave the slot or the namespace.
local function is_party(id)
  return #id > 0 and #id <= 96 and not string.find(id, '[^%w_.-]')
end

-- What is known of a request only grows: no < maybe < yes.
local function grown(known, news)
  if (RAN[news] or 0) > (RAN[known] or 0) then return news end
  return known
end

local function logged(r, cause, executed)
  if r.worker == '' then return r.log end
  local line = table.concat({r.server, r.worker, cause, executed, r.started, int(now - r.started)}, '\t')
  if r.log == '' then return line end
  return r.log .. '\n' .. line
end

local function field(fields, name)
  for i = 1, #fields, 2 do if fields[i] == name then return fields[i + 1] end end
end

-- The record of the request that an entry is a delivery of, and the entry's fields; nil where either is gone.
local function delivered_by(stream, entry)
  local found = redis.call('XRANGE', stream, entry, entry)[1]
  local id = found and field(found[2], 'id')
  return id and load(id), found and found[2]
end

-- The entry's flat fields, wherever they lie, packed for the record.
local function fields_of(r)
  if r.held ~= '' then return r.held end
  local found = redis.call('XRANGE', r.stream, r.entry, r.entry)
  if found[1] then return cmsgpack.pack(found[1][2]) end
  return ''
end

-- Fairness inside a class: of each tenant one request waits in the stream, its lead (`lead`: `<class> <mark>` → id).
-- Its others are parked: delayed until their deadline, in `park:<class>:<mark>`, oldest first; `ring:<class>` says
-- which tenants have some, and `stat` how many there are. A mark stands for a tenant's name, which may be any text.
local function mark_of(tenant) return redis.sha1hex(tenant) end
local function park_key(class, mark) return base .. 'park:' .. class .. ':' .. mark end

local function unpark(class, mark, id)
  local key = park_key(class, mark)
  if redis.call('ZREM', key, id) == 0 then return end
  count('parked', -1)
  if redis.call('EXISTS', key) == 0 then redis.call('ZREM', base .. 'ring:' .. class, mark) end
end

local function leave_park(r)
  redis.call('ZREM', base .. 'delayed', r.id)
  unpark(r.class, mark_of(r.tenant), r.id)
  redis.call('HDEL', record_key(r.id), 'under')
end

-- A lead leaves its stream: the next of its tenant goes to the end of it, which makes tenants take turns. Returns
-- whether there was one.
local function succeed(r)
  if r.tenant == '' then return false end
  local mark = mark_of(r.tenant)
  local field = r.class .. ' ' .. mark
  if redis.call('HGET', base .. 'lead', field) ~= r.id then return false end
  redis.call('HDEL', base .. 'lead', field)
  local key, heir = park_key(r.class, mark), nil
  repeat
    local id = redis.call('ZRANGE', key, '0', '0')[1]
    if not id then return false end
    unpark(r.class, mark, id)
    heir = load(id)
  until heir and heir.state == 'delayed' and heir.held ~= ''
  leave_park(heir)
  local stream = base .. 'q:' .. r.class
  local entry = redis.call('XADD', stream, '*', unpack(cmsgpack.unpack(heir.held)))
  redis.call('HSET', record_key(heir.id), 'state', 'queued', 'stream', stream, 'entry', entry)
  redis.call('HDEL', record_key(heir.id), 'held')
  redis.call('HSET', base .. 'lead', field, heir.id)
  return true
end

-- A request that was set aside because its tool was at its limit lies there no more.
local function leave_aside(r)
  redis.call('ZREM', base .. 'aside:' .. r.tool, r.id)
  redis.call('HDEL', record_key(r.id), 'under')
end

-- Gives back what a delivery had under the limits of its server and its tool.
local function leave_limits(r)
  for _, name in ipairs(words(r.under)) do redis.call('ZREM', base .. 'busy:' .. name, r.id) end
  redis.call('HDEL', record_key(r.id), 'under')
  ring()
  stir(true)
end

-- Takes a live request out of where it lies. Each branch begins with a command that a full store allows.
-- A running one goes only if its pending entry was really there: false means that nothing was written.
local function take_out(r)
  if r.state == 'running' then
    if redis.call('XACK', r.stream, GROUP, r.entry) ~= 1 then return false end
    redis.call('XDEL', r.stream, r.entry)
    if r.under ~= '' then leave_limits(r) end
  elseif r.state == 'queued' then
    redis.call('XDEL', r.stream, r.entry)
    succeed(r)
  else
    redis.call('ZREM', base .. 'delayed', r.id)
    if r.under == 'aside' then leave_aside(r) elseif r.under == 'parked' then leave_park(r) end
  end
  return true
end

local function tell(r, reply)
  local gone = false
  for _, producer in ipairs(words(r.waiters)) do
    local sent = redis.pcall('XADD', base .. 'reply:' .. producer, 'NOMKSTREAM', '*', unpack(reply))
    if type(sent) ~= 'string' then gone = true end
  end
  return gone
end

local function due_at(r, others, again)
  redis.call('ZADD', base .. 'delayed', int(others), r.id)
  redis.call('HSET', record_key(r.id), 'due_again', int(again))
  ring()
  stir()
end

local function free_key(r)
  if r.key == '' then return end
  if redis.call('GET', base .. 'i:' .. r.key) == r.id then redis.call('DEL', base .. 'i:' .. r.key) end
end

-- Ends a request that take_out has taken out. `o` is its outcome: state, code, executed, cause (`why`, where its end
-- has another one than its last attempt), and where there are any service, body, chunks; `settled` where its worker says so, whose repeat is then known by `last`. Every
-- waiter is told; the outcome is kept if asked for or if a waiter is gone.
local function finish(r, o)
  local was_running = r.state == 'running'
  local delivery = o.settled and (r.stream .. ' ' .. r.entry) or r.last
  local log = was_running and logged(r, o.cause or o.code, o.executed) or r.log
  local reply = {
    'v', '1', 'id', r.id, 'kind', 'outcome', 'code', o.code, 'executed', o.executed, 'cause', o.why or o.cause or '',
    'server', r.server, 'worker', r.worker, 'attempt', int(r.attempt), 'accepted', r.accepted,
    'started', r.started, 'ended', int(now), 'service', o.service or '', 'log', log,
    'chunks', o.chunks or '0', 'entry', r.entry, 'body', o.body or '',
  }
  if r.rules ~= '' then
    reply[#reply + 1] = 'rules'
    reply[#reply + 1] = r.rules
  end
  redis.call('ZREM', base .. 'expiry', r.id)
  if has(r.flags, 'u') then redis.call('ZREM', base .. 'picky', r.id) end
  local gone = tell(r, reply)
  local set = {'state', o.state, 'ended', int(now), 'code', o.code, 'executed', o.executed, 'last', delivery, 'log', log}
  local keep = RECORD_KEEP
  if gone or has(r.flags, 's') then
    set[#set + 1] = 'outcome'
    set[#set + 1] = cmsgpack.pack(reply)
    keep = math.max(keep, r.keep)
  end
  if o.state == 'dead' then
    set[#set + 1] = 'held'
    set[#set + 1] = o.held or ''
    keep = math.max(keep, tonumber(redis.call('HGET', pool, 'dead_keep') or '604800000'))
    redis.call('ZADD', base .. 'dead', int(now), r.id)
  elseif not was_running and r.held ~= '' then -- a running request's fields lie in its entry
    redis.call('HDEL', record_key(r.id), 'held')
  end
  if r.key ~= '' then
    if o.executed == 'no' then
      free_key(r)
    else
      keep = math.max(keep, r.key_keep)
      redis.call('SET', base .. 'i:' .. r.key, r.id, 'PX', int(math.max(r.key_keep, 1000)))
    end
  end
  redis.call('HSET', record_key(r.id), unpack(set))
  redis.call('PEXPIRE', record_key(r.id), int(keep))
  count(o.state)
  count('took', math.max(0, now - (tonumber(r.accepted) or now)))
  count('bytes', -r.size)
end

-- Puts a request whose delivery ended back to wait: `others` and `again` are the two due times.
local function put_back(r, held, o)
  redis.call('HSET', record_key(r.id), 'state', 'delayed', 'held', held, 'attempt', int(o.attempt),
    'last', o.settled and (r.stream .. ' ' .. r.entry) or r.last, 'executed', o.executed, 'tried', o.tried, 'log', logged(r, o.cause, o.ran))
  due_at(r, o.others, o.again)
end

-- A delivery that ended without an answer: may the request be tried again?
-- Returns nil where it may, or how it ends.
local function no_more(r, ran)
  if ran ~= 'no' and r.run ~= '1' then return {state = 'dead', code = 'OUTCOME_UNKNOWN'} end
  if r.deadline <= now then return {state = 'expired', code = 'TIMEOUT'} end
  if r.attempt >= r.max or r.deliveries >= DELIVERIES_CAP then
    return {state = 'dead', code = 'FAILOVER_EXHAUSTED'}
  end
end

-- Ends a running request for which nobody answered (grace over, deadline over, worker dead).
-- A call that must not run twice ends as unknown: nobody can say that it did not run. It ends even where its
-- pending entry went with a lost group: the record points there, so nobody else has it, and it must not live on.
local function abandon(r, state, code, cause)
  local held = fields_of(r)
  if not take_out(r) then
    redis.call('XDEL', r.stream, r.entry)
    if r.under ~= '' then leave_limits(r) end
  end
  local executed = grown(r.executed, 'maybe')
  if r.run ~= '1' then state, code = 'dead', 'OUTCOME_UNKNOWN' end
  finish(r, {state = state, code = code, cause = cause, executed = executed, held = held})
end
