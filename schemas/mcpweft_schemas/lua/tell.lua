-- needs nothing
-- tell: write events of the fleet.
-- KEYS  the event stream
-- ARGV  keep (about so many stay), then for each event the number of its values and the values: field, value, …
-- Gives how many were written.
-- Atomic: the events of a batch lie side by side. The stream is bounded by its length, for events are news and not
-- work, and gone a week after the last one.
local WEEK = 604800000
local at, told = 2, 0
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, at + 1, at + n))
  at, told = at + n + 1, told + 1
end
redis.call('PEXPIRE', KEYS[1], WEEK)
return told
