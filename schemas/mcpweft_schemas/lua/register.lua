-- needs ground
-- register: a worker joins a pool, with its server's tools.
-- KEYS  pool
-- ARGV  worker server info epoch limit, then tool, safe (0|1), description, limit for each tool
--       a limit: `per_second burst most` (_limits.lua), or empty for none
-- Gives {word, incarnation}: OK, or UNKNOWN where the pool was never declared.
-- Atomic: the tool table of a server changes as a whole. A worker that does not know its server's tools yet names
-- none, and leaves the table as the others of that server have filled it.
local worker, server, info, epoch = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local inc = redis.call('HGET', pool, 'inc')
if not inc then return {'UNKNOWN', ''} end
even_if_full()
make_groups()
redis.call('HSET', base .. 'members', worker, info)
redis.call('ZADD', base .. 'alive', int(now), worker)
local seen = tonumber(redis.call('HGET', base .. 'readers', worker) or '0')
redis.call('HSET', base .. 'readers', worker, int(math.max(seen, epoch)))
local prefix = server .. '/'
if ARGV[5] ~= '' then
  redis.call('HSET', base .. 'limits', server, ARGV[5])
else
  redis.call('HDEL', base .. 'limits', server)
end
if #ARGV > 5 then
  for _, table_name in ipairs({'tools', 'safe', 'limits'}) do
    for _, field in ipairs(redis.call('HKEYS', base .. table_name)) do
      if string.sub(field, 1, #prefix) == prefix then redis.call('HDEL', base .. table_name, field) end
    end
  end
end
for i = 6, #ARGV, 4 do
  redis.call('HSET', base .. 'safe', prefix .. ARGV[i], ARGV[i + 1])
  redis.call('HSET', base .. 'tools', prefix .. ARGV[i], ARGV[i + 2])
  if ARGV[i + 3] ~= '' then redis.call('HSET', base .. 'limits', prefix .. ARGV[i], ARGV[i + 3]) end
end
return {'OK', inc}
