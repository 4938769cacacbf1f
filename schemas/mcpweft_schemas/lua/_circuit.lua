-- Circuit: the breakers of a pool's servers, each shared by the workers that are one instance.
local STICKS = {forced_open = true, cordoned = true, disabled = true, metrics_only = true}

local function circuit_key(name) return base .. 'breaker:' .. name end

-- What a member said of itself when it registered: its instance and its server. One who said nothing is alone.
local function who_is(worker, info)
  local read, value = pcall(cmsgpack.unpack, info or '')
  if not read or type(value) ~= 'table' then value = {} end
  local instance = type(value.instance) == 'string' and value.instance or worker
  return instance, type(value.server) == 'string' and value.server or instance
end

-- Calls `visit(worker, instance, server)` for each member.
local function each_member(visit)
  local flat = redis.call('HGETALL', base .. 'members')
  for i = 1, #flat, 2 do visit(flat[i], who_is(flat[i], flat[i + 1])) end
end

-- Whether a member is, or runs, what a record is named after.
local function has_owner(name)
  local found = false
  each_member(function(_, instance, server) if instance == name or server == name then found = true end end)
  return found
end

-- The name of the record that a worker goes by: its server's where somebody has ordered something, else its own.
local function governing(server, instance)
  if server ~= instance and STICKS[redis.call('HGET', circuit_key(server), 'state') or ''] then return server end
  return instance
end
