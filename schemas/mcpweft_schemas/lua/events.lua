-- needs nothing
-- events: read events of the fleet behind a position.
-- KEYS  the event stream
-- ARGV  position (an entry id) most
-- Gives {now, newest ('0-0' for an empty stream), whole (0|1), {entry, fields} …}.
--       whole: the position's own entry is still there, so nothing behind it was trimmed.
-- Reads only. Atomic: what is read and whether anything is missing before it belong to one moment.
local clock = redis.call('TIME')
local now = string.format('%d', clock[1] * 1000 + math.floor(clock[2] / 1000))
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')[1]
local whole = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1] and 1 or 0
return {now, newest and newest[1] or '0-0', whole,
  unpack(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2]))}
