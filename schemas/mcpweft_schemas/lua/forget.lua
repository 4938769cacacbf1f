-- needs ground circuit
-- forget: a server that was removed from the fleet offers nothing in this pool any more.
-- KEYS  pool
-- ARGV  server
-- Gives how many of its tools were forgotten: none while a worker of it is a member, which says what it offers.
-- Atomic: no worker of it joins between the look and the removal. Which of its tools may run twice stays: only its own
-- workers ask for that, and they say it anew.
local server = ARGV[1]
local prefix, gone, there = server .. '/', 0, false
each_member(function(_, _, its_server) there = there or its_server == server end)
if there then return 0 end
for _, field in ipairs(redis.call('HKEYS', base .. 'tools')) do
  if string.sub(field, 1, #prefix) == prefix then gone = gone + redis.call('HDEL', base .. 'tools', field) end
end
return gone
