-- needs ground record signal expire slot sample
-- sweep: the leader's round over one pool: times that are over, work that nobody was told of, old dead letters, and
--        every 10 s how the pool stands.
-- KEYS  pool
-- ARGV  epoch most
-- Gives {word, expired, unserved, forgotten}: OK, MORE, STALE or UNKNOWN.
-- Atomic per pool and bounded by `most`, so that it never holds the store for long.
local epoch, most = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('EXISTS', pool) == 0 then return {'UNKNOWN', 0, 0, 0} end
local bad = unsound()
if bad then return bad end
even_if_full()
if stale_leader(epoch) then return {'STALE', 0, 0, 0} end
local ids = redis.call('ZRANGEBYSCORE', base .. 'expiry', '-inf', int(now), 'LIMIT', '0', int(most))
local expired, unserved, forgotten = 0, 0, 0
for _, id in ipairs(ids) do
  if expire_one(id) == 'ENDED' then expired = expired + 1 end
end

-- Callers who asked not to wait for a server are told after a second without one.
if redis.call('ZCOUNT', base .. 'usable', int(now), '+inf') > 0 or redis.call('ZCARD', base .. 'picky') == 0 then
  redis.call('HDEL', base .. 'stat', 'unserved_since')
else
  local since = tonumber(redis.call('HGET', base .. 'stat', 'unserved_since') or '0')
  if since == 0 then
    redis.call('HSET', base .. 'stat', 'unserved_since', int(now))
  elseif now - since >= 1000 then
    for _, id in ipairs(redis.call('ZRANGE', base .. 'picky', '0', int(most - 1))) do
      local r = load(id)
      redis.call('ZREM', base .. 'picky', id)
      if r and (r.state == 'queued' or r.state == 'delayed') then
        take_out(r)
        finish(r, {state = 'expired', code = 'NO_SERVERS_AVAILABLE', cause = 'NO_SERVERS', executed = r.executed})
        unserved = unserved + 1
      end
    end
  end
end

local keep = tonumber(redis.call('HGET', pool, 'dead_keep') or '604800000')
local old = redis.call('ZRANGEBYSCORE', base .. 'dead', '-inf', int(now - keep), 'LIMIT', '0', int(most))
for _, id in ipairs(old) do
  redis.call('ZREM', base .. 'dead', id)
  forgotten = forgotten + 1
end
count('dead_forgotten', forgotten)

-- What ended lately is the difference to the older of two pictures of the counters (`recent.py`): it is half a minute
-- to a minute old. After a time in which nobody swept both are made anew.
local HALF = 30000
local seen = redis.call('HMGET', base .. 'stat', 'recent', 'done', 'dead', 'cancelled', 'expired', 'took', 'sampled')
local newer = string.match(seen[1] or '', '| (.+)$')
local age = newer and now - tonumber(string.match(newer, '^%d+')) or 2 * HALF
if age >= HALF then
  local picture = int(now)
  for i = 2, 6 do picture = picture .. ' ' .. (seen[i] or '0') end
  redis.call('HSET', base .. 'stat', 'recent', (age < 2 * HALF and newer or picture) .. ' | ' .. picture)
end

-- Work that lies ready rings again: a worker that died with the token took the ring with it.
if redis.call('ZCOUNT', base .. 'delayed', '-inf', int(now)) > 0 or untaken() > 0
  or tonumber(redis.call('HGET', base .. 'stat', 'parked') or '0') > 0 then ring() end
write_tally()

-- What the analytics know of the pool as a whole: told once in each slot, whoever leads.
local slot = int(math.floor(now / 10000))
if seen[7] ~= slot then
  redis.call('HSET', base .. 'stat', 'sampled', slot)
  sample()
end
return {#ids >= most and expired > 0 and 'MORE' or 'OK', expired, unserved, forgotten}
