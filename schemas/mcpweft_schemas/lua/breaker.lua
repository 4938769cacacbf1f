-- needs ground signal circuit
-- breaker: what a worker found out about its server, or what somebody ordered, moves the breaker that all share.
-- KEYS  pool (the server's home pool)
-- ARGV  act server instance ('' by hand) worker ('' by hand) generation ('': any) reason hard (0|1) mark by, the pace:
--       first_ms growth longest_ms stretch probes successes life_ms, then permits (PROBE: all that are wanted)
-- Gives {word, now, state, generation, since, reason, wait_ms, open_until, proved, by, permit held, …}: OK, REPEAT, STALE
--       (decided on another generation, or the table has no such move: nothing was written), LAST (the pool has no
--       other usable server: nothing was written), or {UNKNOWN} where there is no such pool or worker.
--       An `ask` by hand is told the record of the server's name, whoever goes by it.
-- Atomic: a move, its permits and its notices go together, and each generation is left once.
local act, server, instance, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local generation, reason, hard, mark, by = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8], ARGV[9]
local first, growth, longest, stretch = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local probes, successes, life = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
local MOVES = {closed = {trip = 'open'}, open = {waited = 'half_open'},
  half_open = {proved = 'closed', disproved = 'open'}, forced_open = {}, cordoned = {}, disabled = {}, metrics_only = {}}
local BY_HAND = {force_open = 'forced_open', cordon = 'cordoned', disable = 'disabled', observe = 'metrics_only', reset = 'closed'}

local function read(name)
  local c = {name = name, state = 'closed', generation = '0', since = '0', reason = '', wait_ms = '0',
    open_until = '0', proved = '0', mark = '', by = '', permits = {}}
  local flat = redis.call('HGETALL', circuit_key(name))
  c.there = #flat > 0
  for i = 1, #flat, 2 do
    local permit = string.match(flat[i], '^p:(.*)$')
    if permit then c.permits[permit] = tonumber(flat[i + 1]) else c[flat[i]] = flat[i + 1] end
  end
  return c
end

-- A generation is a time, so that it grows past a deletion too: who slept through one cannot meet its own again.
local function move(c, event, why, at)
  local after = BY_HAND[event] or MOVES[c.state][event]
  if not after then return false end
  local wait, open_until = 0, 0
  if after == 'open' then
    wait = tonumber(c.wait_ms)
    wait = math.min(wait > 0 and wait * growth or first, longest)
    open_until = at + wait * stretch
  elseif after == 'half_open' then
    wait = tonumber(c.wait_ms)
  end
  c.state, c.reason, c.since, c.proved, c.permits, c.there = after, why, int(at), '0', {}, true
  c.by = BY_HAND[event] and by or ''
  c.wait_ms, c.open_until = int(wait), int(open_until)
  c.generation = int(math.max(tonumber(c.generation) + 1, now))
  local key = circuit_key(c.name)
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', after, 'generation', c.generation, 'since', c.since, 'reason', why,
    'wait_ms', c.wait_ms, 'open_until', c.open_until, 'proved', '0', 'mark', BY_HAND[event] and mark or '', 'by', c.by)
  each_member(function(member, its_instance, its_server)
    if its_instance == c.name or its_server == c.name then
      signal(member, 'kind', 'breaker', 'name', c.name, 'state', after, 'generation', c.generation)
    end
  end)
  return true
end

-- A probe whose permit ran out says that its worker is gone or stuck: the breaker opens as of then.
local function pass_time(c)
  if c.state ~= 'half_open' then return end
  local over = nil
  for _, till in pairs(c.permits) do if till <= now and till < (over or math.huge) then over = till end end
  if over then move(c, 'disproved', 'a probe was never reported', over) end
end

local function tell(word, c)
  local answer = {word, int(now), c.state, c.generation, c.since, c.reason, c.wait_ms, c.open_until, c.proved, c.by}
  for permit in pairs(c.permits) do
    if worker ~= '' and string.sub(permit, 1, #worker + 1) == worker .. '/' then answer[#answer + 1] = permit end
  end
  return answer
end

-- Whether a worker of another instance takes work in this pool, its own breaker being closed to none.
local function has_another()
  local usable, found = {}, false
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', base .. 'usable', '(' .. int(now), '+inf')) do
    usable[member] = true
  end
  each_member(function(member, its_instance, its_server)
    if found or not usable[member] or its_instance == instance then return end
    local state = redis.call('HGET', circuit_key(governing(its_server, its_instance)), 'state') or 'closed'
    found = state == 'closed' or state == 'disabled' or state == 'metrics_only'
  end)
  return found
end

-- Every permit of this worker that is not wanted goes; wanted ones are held anew, and more while there is room.
local function hold(c)
  local wanted, out = {}, 0
  for i = 17, #ARGV do wanted[ARGV[i]] = true end
  for permit in pairs(c.permits) do
    if string.sub(permit, 1, #worker + 1) == worker .. '/' and not wanted[permit] then
      redis.call('HDEL', circuit_key(c.name), 'p:' .. permit)
      c.permits[permit] = nil
    else
      out = out + 1
    end
  end
  local room = math.min(probes, successes - tonumber(c.proved)) - out
  for i = 17, #ARGV do
    local permit = ARGV[i]
    if not c.permits[permit] and room > 0 then room, c.permits[permit] = room - 1, 0 end
    if c.permits[permit] then
      c.permits[permit] = now + life
      redis.call('HSET', circuit_key(c.name), 'p:' .. permit, int(now + life))
    end
  end
end

local function order()
  local names, moved, its_own = {}, false, false
  each_member(function(_, its_instance, its_server)
    if its_instance == server then
      its_own = true
    elseif act == 'reset' and its_server == server then
      names[#names + 1] = its_instance
    end
  end)
  if its_own or act ~= 'reset' or read(server).there then names[#names + 1] = server end
  for _, name in ipairs(names) do
    local c = read(name)
    if c.mark ~= mark then moved = move(c, act, reason, now) or moved end
  end
  local c = read(server)
  -- A closed record that is no instance's own would have nobody to delete it.
  if c.there and c.state == 'closed' and not its_own then redis.call('DEL', circuit_key(server)) end
  return tell(moved and 'OK' or 'REPEAT', c)
end

for _, name in ipairs({server, BY_HAND[act] and server or instance}) do
  if name == '' or string.find(name, '[^%w_.-]') then return redis.error_reply('ERR no name for a breaker: ' .. name) end
end
if redis.call('EXISTS', pool) == 0 then return {'UNKNOWN'} end
if BY_HAND[act] then
  local c = read(server)
  if generation ~= '' and generation ~= c.generation then return tell('STALE', c) end
  even_if_full()
  return order()
end
if act == 'ask' and worker == '' then return tell('OK', read(server)) end
if redis.call('HEXISTS', base .. 'members', worker) == 0 then return {'UNKNOWN'} end
local c = read(governing(server, instance))
if act == 'ask' then return tell('OK', c) end
even_if_full()
pass_time(c)
if generation ~= c.generation then return tell('STALE', c) end
local permit = ARGV[17] or ''
if act == 'trip' then
  if c.state == 'closed' and not hard and not has_another() then return tell('LAST', c) end
  if not move(c, 'trip', reason, now) then return tell('STALE', c) end
elseif act == 'probe' then
  if c.state == 'open' and permit ~= '' and tonumber(c.open_until) <= now then
    move(c, 'waited', 'the wait for recovery is over', now)
  end
  if c.state == 'half_open' then hold(c) end
elseif act == 'disprove' then
  if not move(c, 'disproved', reason, now) then return tell('STALE', c) end
elseif act == 'prove' then
  if c.state ~= 'half_open' then return tell('STALE', c) end
  if not c.permits[permit] then return tell('REPEAT', c) end
  redis.call('HDEL', circuit_key(c.name), 'p:' .. permit)
  c.permits[permit] = nil
  c.proved = int(tonumber(c.proved) + 1)
  redis.call('HSET', circuit_key(c.name), 'proved', c.proved)
  if tonumber(c.proved) >= successes then move(c, 'proved', c.proved .. ' probes succeeded', now) end
else
  return redis.error_reply('ERR no such act: ' .. act)
end
return tell('OK', c)
