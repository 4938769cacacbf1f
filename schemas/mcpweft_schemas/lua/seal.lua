-- needs ground
-- seal: a new leader makes its epoch known to a pool before it acts.
-- KEYS  pool
-- ARGV  epoch
-- Gives OK, STALE where a higher epoch was here, or UNKNOWN where there is no pool.
-- Atomic: afterwards no write of a lower epoch is accepted here.
if redis.call('EXISTS', pool) == 0 then return 'UNKNOWN' end
even_if_full()
if stale_leader(tonumber(ARGV[1])) then return 'STALE' end
return 'OK'
