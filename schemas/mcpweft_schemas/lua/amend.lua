-- needs nothing
-- amend: what the fleet sets over each process's own configuration becomes another, if it is still what was looked at.
-- KEYS  the configuration (hash version document by reason at mark trial)
-- ARGV  version (that it was decided on; 0: there was none) document (JSON) by reason mark trial ('': none) keep
-- Gives {word, version}: OK, REPEAT (written before, under this mark), or STALE where somebody else was faster. Where
--       the document stays as it is, no version begins: only the trial is another.
-- Atomic: of two who decide on the same version one writes, and the history has every version once.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local found = redis.call('HMGET', KEYS[1], 'version', 'document', 'mark')
local version = tonumber(found[1] or '0')
if found[3] and found[3] == ARGV[5] then return {'REPEAT', int(version)} end
if version ~= tonumber(ARGV[1]) then return {'STALE', int(version)} end
if found[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'trial', ARGV[6])
  return {'OK', int(version)}
end
version = version + 1
redis.call('HSET', KEYS[1], 'version', int(version), 'document', ARGV[2], 'by', ARGV[3], 'reason', ARGV[4], 'at', int(now),
  'mark', ARGV[5], 'trial', ARGV[6])
local history = KEYS[1] .. ':history'
redis.call('RPUSH', history, cmsgpack.pack({int(version), ARGV[2], ARGV[3], ARGV[4], int(now)}))
redis.call('LTRIM', history, '-' .. ARGV[7], '-1')
return {'OK', int(version)}
