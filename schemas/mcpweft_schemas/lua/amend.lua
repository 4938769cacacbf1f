-- needs nothing
-- amend: what the fleet sets over each process's own configuration becomes another, if it is still what was looked at.
-- KEYS  the configuration (hash version turn document by reason at mark trials)
-- ARGV  turn (that it was decided on; 0: there was none) document (JSON) by reason mark trials (JSON; '': none) keep
--       rules (of the document, what producers read: JSON; '': none)
-- Gives {word, version}: OK, REPEAT (written before, under this mark), or STALE where somebody else was faster.
-- Each write is a turn. A version begins only where the document is another: else the servers on trial are.
-- Atomic: of two who decide on the same turn one writes, and the history has every version once. The rules that
-- producers follow are always those of the edition in force, and have the version with which they changed last.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local found = redis.call('HMGET', KEYS[1], 'version', 'turn', 'document', 'mark')
local version, turn = tonumber(found[1] or '0'), tonumber(found[2] or '0')
if found[4] and found[4] == ARGV[5] then return {'REPEAT', int(version)} end
if turn ~= tonumber(ARGV[1]) then return {'STALE', int(version)} end
redis.call('HSET', KEYS[1], 'turn', int(turn + 1), 'mark', ARGV[5], 'trials', ARGV[6])
if found[3] == ARGV[2] then return {'OK', int(version)} end
version = version + 1
redis.call('HSET', KEYS[1], 'version', int(version), 'document', ARGV[2], 'by', ARGV[3], 'reason', ARGV[4], 'at', int(now))
local history = KEYS[1] .. ':history'
redis.call('RPUSH', history, cmsgpack.pack({int(version), ARGV[2], ARGV[3], ARGV[4], int(now)}))
redis.call('LTRIM', history, '-' .. ARGV[7], '-1')
local rules = string.sub(KEYS[1], 1, -7) .. 'rules'
if (redis.call('HGET', rules, 'document') or '') ~= ARGV[8] then
  redis.call('HSET', rules, 'version', int(version), 'document', ARGV[8])
end
return {'OK', int(version)}
