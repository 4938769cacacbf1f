-- needs ground record signal expire
-- expire: let the passed time of the named requests take effect.
-- KEYS  pool
-- ARGV  ids
-- Gives a word an id: ENDED, SIGNALLED (its worker has a second), WAITING or RUNNING (not yet), SETTLED, UNKNOWN.
-- Atomic: as cancel.
local answers = {}
local bad = unsound()
if bad then return bad end
even_if_full()
for i = 1, #ARGV do answers[i] = expire_one(ARGV[i]) end
write_tally()
return answers
