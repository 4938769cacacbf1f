-- needs ground record
-- replay: accept a dead letter anew, under a new id.
-- KEYS  pool
-- ARGV  id new_id timeout_ms keep_ms
-- Gives {word, id}: OK, REPEAT (the new id is known already) or UNKNOWN (no such dead letter).
-- Atomic: the letter leaves the dead as its successor is accepted. Its outcome is kept, since nobody waits.
local r = load(ARGV[1])
if redis.call('EXISTS', record_key(ARGV[2])) == 1 then return {'REPEAT', ARGV[2]} end
if not r or r.state ~= 'dead' or r.held == '' then return {'UNKNOWN', ARGV[1]} end
local bad = unsound()
if bad then return bad end
local fields = cmsgpack.unpack(r.held)
for i = 1, #fields, 2 do
  if fields[i] == 'id' then fields[i + 1] = ARGV[2] elseif fields[i] == 'flags' then fields[i + 1] = 'sd' end
end
redis.call('ZREM', base .. 'dead', r.id)
local stream = base .. 'q:' .. r.class
local entry = redis.call('XADD', stream, '*', unpack(fields))
redis.call('HSET', record_key(ARGV[2]), 'state', 'queued', 'class', r.class, 'tool', r.tool, 'max', int(r.max),
  'deadline', int(now + tonumber(ARGV[3])), 'attempt_ms', r.attempt_ms, 'accepted', int(now), 'v', r.v,
  'size', int(r.size), 'keep', ARGV[4], 'safe', r.safe, 'flags', 'sd', 'tenant', r.tenant, 'rules', r.rules, 'stream', stream,
  'entry', entry, 'replay_of', r.id)
redis.call('ZADD', base .. 'expiry', int(now + tonumber(ARGV[3])), ARGV[2])
redis.call('HDEL', record_key(r.id), 'held')
redis.call('HSET', record_key(r.id), 'replayed_as', ARGV[2])
count('accepted'); count('replayed'); count('bytes', r.size)
ring()
write_tally()
return {'OK', ARGV[2]}
