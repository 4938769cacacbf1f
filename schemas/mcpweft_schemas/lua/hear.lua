-- needs nothing
-- hear: make a producer's reply stream, or keep it alive.
-- KEYS  the reply stream
-- ARGV  ttl_ms, then the entry up to which it was read ('' for none)
-- Gives 1 where the stream was there, 0 where it was made anew (what was in it is gone).
-- Atomic: trimmed only behind the reader's own position, never by length.
local there = redis.call('EXISTS', KEYS[1])
if there == 0 then
  redis.call('XADD', KEYS[1], '*', 'v', '1', 'kind', 'hello')
elseif ARGV[2] ~= '' then
  redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return there
