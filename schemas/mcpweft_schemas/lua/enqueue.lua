-- needs ground record
-- enqueue: accept up to 50 requests.
-- KEYS  pool
-- ARGV  n, then 20 values an item: id v tool class timeout start_within attempt_timeout max delay safe flags
--       waiter key print trace tenant keep key_keep extra body (times in ms; extra: msgpack of a flat list)
-- Gives {incarnation, now, {word, id, state, retry_after_ms} an item}.
-- Atomic: bound, idempotency and record are looked at and written together, so that no bound is overrun, no
-- key is used twice, and a request sent again after a lost reply is a REPEAT.
local STRIDE = 20
local settings = redis.call('HMGET', pool, 'inc', 'bound', 'max_bytes', 'low_at', 'normal_at', 'high_at')
local answers = {settings[1] or '', int(now)}
local n = tonumber(ARGV[1])
if not settings[1] then
  for i = 1, n do answers[#answers + 1] = {'UNKNOWN', ARGV[2 + (i - 1) * STRIDE], '', '0'} end
  return answers
end
local bad = unsound()
if bad then return bad end
local bound, max_bytes = tonumber(settings[2] or '10000'), tonumber(settings[3] or '268435456')
local share = {critical = 1.0, high = tonumber(settings[6] or '0.95'), normal = tonumber(settings[5] or '0.85'),
  low = tonumber(settings[4] or '0.6')}
local backlog = redis.call('ZCARD', base .. 'delayed')
for _, which in ipairs(STREAMS) do backlog = backlog + length[which] end
local stat = redis.call('HMGET', base .. 'stat', 'bytes', 'rate')
local bytes, rate = tonumber(stat[1] or '0'), tonumber(stat[2] or '0')
local usable = nil

local function any_usable()
  if usable == nil then usable = redis.call('ZCOUNT', base .. 'usable', int(now), '+inf') > 0 end
  return usable
end

local function wait_for(excess)
  if rate <= 0 then return 1000 end
  return math.max(50, math.min(60000, math.ceil(excess / rate * 1000)))
end

-- The holder of an idempotency key, as an answer; nil where the key is free.
local function holder(key, print, waiter, flags)
  local id = redis.pcall('GET', base .. 'i:' .. key)
  if type(id) ~= 'string' then return nil end
  local r = load(id)
  if not r then return nil end
  if r.print ~= print then return {'CONFLICT', id, r.state, '0'} end
  if is_final(r.state) then return {'SETTLED', id, r.state, '0'} end
  if waiter ~= '' then
    local more = has(flags, 'p') and not has(r.flags, 'p') and r.flags .. 'p' or r.flags
    redis.call('HSET', record_key(id), 'waiters', with_word(r.waiters, waiter), 'flags', more)
  end
  return {'ATTACHED', id, r.state, '0'}
end

local function refusal(class, size, start_within, flags)
  local limit = share[class]
  if backlog + 1 > bound * limit then return {'FULL', wait_for(backlog + 1 - bound * limit)} end
  if bytes + size > max_bytes * limit then return {'FULL', wait_for(1)} end
  if has(flags, 'u') and not any_usable() then
    count('turned_away') -- a launcher that has workers asleep sees it and starts them
    return {'NO_SERVERS', 1000}
  end
  if start_within > 0 and rate > 0 and backlog / rate * 1000 > start_within then
    return {'LATE', math.ceil(backlog / rate * 1000 - start_within)}
  end
end

-- What a store without room says to the first write of an item; all of the item goes through, or nothing.
local function no_room(answer)
  if type(answer) ~= 'table' or not answer.err then return nil end
  local code = string.match(answer.err, '^-?(%u+)')
  if code == 'OOM' then return 'OOM' end
  if code == 'MISCONF' or code == 'NOREPLICAS' then return 'UNWRITABLE' end
  error(answer)
end

-- Whether one of a tenant's requests waits in a class's stream. One that is gone without a word does not count.
local function has_lead(class, mark)
  local lead = redis.call('HGET', base .. 'lead', class .. ' ' .. mark)
  return lead and redis.call('HGET', record_key(lead), 'state') == 'queued'
end

local function accept(at)
  local id, v, tool, class = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local timeout, start_within = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local attempt_ms, max, delay = ARGV[at + 6], ARGV[at + 7], tonumber(ARGV[at + 8])
  local safe, flags, waiter, key, print = ARGV[at + 9], ARGV[at + 10], ARGV[at + 11], ARGV[at + 12], ARGV[at + 13]
  local trace, tenant, keep, key_keep = ARGV[at + 14], ARGV[at + 15], ARGV[at + 16], ARGV[at + 17]
  local extra, body = ARGV[at + 18], ARGV[at + 19]
  if not share[class] or not timeout or not delay or not start_within then return {'ERROR', id, '', '0'} end
  if waiter ~= '' and not is_party(waiter) then return {'ERROR', id, '', '0'} end
  local known = redis.pcall('HGET', record_key(id), 'state')
  if type(known) == 'table' then return {'ERROR', id, '', '0'} end
  if known then return {'REPEAT', id, known, '0'} end
  if key ~= '' then
    local held = holder(key, print, waiter, flags)
    if held then return held end
  end
  -- Whoever uses the key later gets this outcome, so it is always kept.
  if key ~= '' and not has(flags, 's') then flags = flags .. 's' end
  local size = #body + #extra
  local refused = refusal(class, size, start_within, flags)
  if refused then return {refused[1], id, '', int(refused[2])} end

  local fields = {'v', v, 'id', id, 'tool', tool, 'class', class, 'producer', waiter, 'flags', flags,
    'trace', trace, 'tenant', tenant, 'body', body}
  local more = extra ~= '' and cmsgpack.unpack(extra) or {}
  for _, x in ipairs(more) do fields[#fields + 1] = x end
  local mark = delay == 0 and tenant ~= '' and mark_of(tenant)
  local parks = mark and has_lead(class, mark)
  local state = (delay > 0 or parks) and 'delayed' or 'queued'
  local record = {'state', state, 'class', class, 'tool', tool, 'max', max,
    'deadline', int(now + timeout), 'attempt_ms', attempt_ms, 'accepted', int(now), 'v', v, 'size', int(size),
    'keep', keep}
  local function set(name, value)
    if value ~= '' then record[#record + 1] = name; record[#record + 1] = value end
  end
  set('safe', safe); set('flags', flags); set('waiters', waiter); set('tenant', tenant)
  set('rules', field(more, 'rules') or '')
  if key ~= '' then set('key', key); set('print', print); set('key_keep', key_keep) end
  local over = now + timeout
  if start_within > 0 then
    over = math.min(over, now + start_within)
    set('start_by', int(now + start_within))
  end
  -- The first write is the one that a full store refuses; after it, the rest of the item goes through.
  if state == 'delayed' then
    set('held', cmsgpack.pack(fields))
    local added = redis.pcall('ZADD', base .. 'delayed', int(now + (parks and timeout or delay)), id)
    local none = no_room(added)
    if none then return {none, id, '', '1000'} end
    if parks then
      redis.call('ZADD', park_key(class, mark), int(now * 1000 + at), id)
      redis.call('ZADD', base .. 'ring:' .. class, 'NX', int(now), mark)
      count('parked')
      set('under', 'parked')
    end
  else
    local entry = redis.pcall('XADD', base .. 'q:' .. class, 'NOMKSTREAM', '*', unpack(fields))
    local none = no_room(entry)
    if none then return {none, id, '', '1000'} end
    if not entry then
      make_groups()
      count('regrouped')
      entry = redis.call('XADD', base .. 'q:' .. class, '*', unpack(fields))
    end
    set('stream', base .. 'q:' .. class); set('entry', entry)
    if mark then redis.call('HSET', base .. 'lead', class .. ' ' .. mark, id) end
  end
  redis.call('HSET', record_key(id), unpack(record))
  redis.call('ZADD', base .. 'expiry', int(over), id)
  if has(flags, 'u') then redis.call('ZADD', base .. 'picky', int(now), id) end
  if key ~= '' then redis.call('SET', base .. 'i:' .. key, id, 'PX', int(timeout + tonumber(key_keep) + 60000)) end
  backlog, bytes = backlog + 1, bytes + size
  count('accepted'); count('bytes', size)
  return {'OK', id, state, '0'}
end

local added, later = false, false
for i = 1, n do
  local answer = accept(2 + (i - 1) * STRIDE)
  if answer[1] == 'OK' then added, later = true, later or answer[3] == 'delayed' end
  answers[#answers + 1] = answer
end
if added then ring() end
if later then stir() end
write_tally()
return answers
