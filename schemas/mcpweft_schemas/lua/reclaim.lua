-- needs ground record
-- reclaim: take back what a dead worker holds.
-- KEYS  pool
-- ARGV  epoch worker confirmed (0|1) dead_after patience (ms)
-- Gives {word, moved, lost, kept}: OK, MORE (call again), ALIVE (it has beaten lately), KEPT, STALE, or UNKNOWN
--       where there is no pool.
-- Atomic: an entry is acknowledged, deleted and put back in one move under a new id later on, so whoever still
-- runs the old delivery can settle nothing. Without confirmation a call that must not run twice stays leased
-- for `patience` longer, since its worker may only be slow. A confirmed death is a fact, whoever reports it: it
-- needs no epoch.
local epoch, worker, confirmed = tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'
local dead_after, patience = tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('EXISTS', pool) == 0 then return {'UNKNOWN', 0, 0, 0} end
local bad = unsound()
if bad then return bad end
even_if_full()
if not confirmed and stale_leader(epoch) then return {'STALE', 0, 0, 0} end
local beat = tonumber(redis.call('ZSCORE', base .. 'alive', worker) or '0')
if not confirmed and now - beat < dead_after then return {'ALIVE', 0, 0, 0} end
local sure = confirmed or now - beat >= dead_after + patience
redis.call('ZREM', base .. 'usable', worker)
local LOOK = 50
local moved, lost, kept, looked = 0, 0, 0, 0

local function move(r)
  local held = fields_of(r)
  local over = no_more(r, 'maybe')
  if not take_out(r) then return end
  local executed = grown(r.executed, 'maybe')
  if over then
    lost = lost + 1
    return finish(r, {state = over.state, code = over.code, cause = 'WORKER_DIED', executed = executed, held = held})
  end
  moved = moved + 1
  count('reclaimed')
  put_back(r, held, {attempt = r.attempt, executed = executed, ran = 'maybe', cause = 'WORKER_DIED',
    tried = r.tried, others = now, again = now})
end

local function judge(r)
  if r.cancel > 0 then
    lost = lost + 1
    local late = r.deadline <= r.cancel
    return abandon(r, late and 'expired' or 'cancelled', late and 'TIMEOUT' or 'CANCELLED', 'WORKER_DIED')
  end
  if r.run == '1' or sure then return move(r) end
  kept = kept + 1
end

for _, which in ipairs(STREAMS) do
  local stream, from = base .. 'q:' .. which, '-'
  while looked < LOOK do
    local page = redis.pcall('XPENDING', stream, GROUP, from, '+', '50', worker)
    if type(page) ~= 'table' or page.err or #page == 0 then break end
    for _, pending in ipairs(page) do
      looked = looked + 1
      local entry = pending[1]
      from = '(' .. entry
      local r = delivered_by(stream, entry)
      if r and r.state == 'running' and r.entry == entry then
        judge(r)
      else
        redis.call('XACK', stream, GROUP, entry)
        redis.call('XDEL', stream, entry)
      end
    end
  end
end
write_tally()
if looked >= LOOK and looked > kept then return {'MORE', moved, lost, kept} end
return {kept > 0 and 'KEPT' or 'OK', moved, lost, kept}
