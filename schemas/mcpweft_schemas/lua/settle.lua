-- needs ground record
-- settle: end up to 50 deliveries.
-- KEYS  pool
-- ARGV  instance n, then 12 values an item: id stream entry how code cause executed service body chunks backoff keep
--       how: done | dead | retry | release; service in ms; backoff in ms, for the instance that has tried
-- Gives a word an item: OK, ENDED or RETRIED (written), REPEAT (written before), LOST (not the caller's).
-- Atomic and fenced: the record must point at this very delivery and the acknowledgement must count 1, and
-- that comes first; a zombie's settle finds another delivery in the record and writes nothing.
local STRIDE = 12
local instance, n = ARGV[1], tonumber(ARGV[2])
local ENDED = {'state', 'stream', 'entry', 'last', 'worker', 'server', 'attempt', 'run', 'accepted', 'started', 'flags',
  'waiters', 'executed', 'log', 'keep', 'key', 'size', 'cancel', 'under', 'rules'}
local answers = {}
local bad = unsound()
if bad then return bad end

-- The pool's retry budget: a bucket that every request which ended, done or dead, and every second fills a little, and
-- every retry after a failure takes one out of. It is read only where something failed: what ended meanwhile is told
-- by the counters, so the good path does not know of it. `retry` holds the level, when, and what had ended by then.
local budget
local function read_budget()
  local set = redis.call('HMGET', pool, 'retry_ratio', 'retry_floor', 'retry_burst')
  local stat = redis.call('HMGET', base .. 'stat', 'retry', 'done', 'dead')
  local ratio, floor, most = tonumber(set[1] or '0.1'), tonumber(set[2] or '10'), tonumber(set[3] or '500')
  local ended = tonumber(stat[2] or '0') + tonumber(stat[3] or '0')
  local kept = words(stat[1] or '')
  local level, at, seen = tonumber(kept[1]) or most, tonumber(kept[2]) or now, tonumber(kept[3]) or ended
  local earned = ratio * math.max(0, ended - seen) + floor * math.max(0, now - at) / 1000
  return {level = math.min(most, level + earned), ended = ended}
end

-- What says nothing of a server costs nothing: it did not run, its worker had to end, somebody took its server out, or
-- its worker died.
local FREE = {SHUTTING_DOWN = true, TAKEN_OUT = true, WORKER_DIED = true, RELEASED = true}
local function may_retry(cause, executed)
  if executed == 'no' or FREE[cause] then return true end
  budget = budget or read_budget()
  if budget.level < 1 then return false end
  budget.level = budget.level - 1
  return true
end

local function try_again(r, cause, executed, backoff, body)
  local held = fields_of(r)
  local known = grown(r.executed, executed)
  local over = no_more(r, executed)
  if not take_out(r) then return 'LOST' end
  if not over and not may_retry(cause, executed) then
    over = {state = 'dead', code = 'FAILOVER_EXHAUSTED', why = 'RETRY_BUDGET'}
    count('unretried')
  end
  if over then
    finish(r, {state = over.state, code = over.code, cause = cause, why = over.why, executed = known, held = held,
      body = body, settled = true})
    return 'ENDED'
  end
  put_back(r, held, {settled = true, attempt = r.attempt, executed = known, ran = executed, cause = cause,
    tried = with_word(r.tried, instance), others = now, again = math.min(now + backoff, r.deadline)})
  count('retried')
  return 'RETRIED'
end

local function release(r, cause)
  local held = fields_of(r)
  if r.deliveries >= DELIVERIES_CAP then return try_again(r, cause, 'no', 0, '') end
  if not take_out(r) then return 'LOST' end
  put_back(r, held, {settled = true, attempt = r.attempt - 1, executed = r.executed, ran = 'no', cause = cause,
    tried = r.tried, others = now, again = now})
  count('released')
  return 'OK'
end

local function settle_one(at)
  local id, stream, entry, how = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local code, cause, executed = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local r = load(id, ENDED)
  if not r then return 'LOST' end
  if r.last == stream .. ' ' .. entry then return 'REPEAT' end
  if r.state ~= 'running' or r.stream ~= stream or r.entry ~= entry then return 'LOST' end
  if how == 'release' then executed = 'no' end
  if r.cancel > 0 and (how == 'retry' or how == 'release') then
    how, code = 'done', r.deadline <= r.cancel and 'TIMEOUT' or 'CANCELLED'
    if executed ~= 'no' and r.run ~= '1' then how, code = 'dead', 'OUTCOME_UNKNOWN' end
  end
  if how == 'release' then return release(r, cause) end
  if how == 'retry' then return try_again(r, cause, executed, tonumber(ARGV[at + 10]) or 0, ARGV[at + 8]) end
  local state = how == 'dead' and 'dead' or 'done'
  if code == 'CANCELLED' then state = 'cancelled' elseif code == 'TIMEOUT' then state = 'expired' end
  local held = state == 'dead' and fields_of(r) or ''
  if not take_out(r) then return 'LOST' end
  r.keep = math.max(r.keep, tonumber(ARGV[at + 11]) or 0)
  finish(r, {state = state, code = code, cause = cause, executed = grown(r.executed, executed), held = held,
    service = ARGV[at + 7], body = ARGV[at + 8], chunks = ARGV[at + 9], settled = true})
  return 'OK'
end

for i = 1, n do answers[i] = settle_one(3 + (i - 1) * STRIDE) end

-- The drain rate, requests per second: an exponential average over windows of at least a second.
local ended = (tally.done or 0) + (tally.dead or 0)
if ended > 0 then
  local stat = redis.call('HMGET', base .. 'stat', 'rate', 'rate_at', 'rate_n')
  local rate, at, seen = tonumber(stat[1] or '0'), tonumber(stat[2] or '0'), tonumber(stat[3] or '0') + ended
  if now - at >= 1000 then
    local fresh = seen * 1000 / (now - at)
    if at == 0 or now - at > 10000 then fresh = at == 0 and 0 or fresh; rate = fresh else rate = 0.5 * rate + 0.5 * fresh end
    redis.call('HSET', base .. 'stat', 'rate', string.format('%.3f', rate), 'rate_at', int(now), 'rate_n', '0')
  else
    redis.call('HSET', base .. 'stat', 'rate_n', int(seen))
  end
end
if budget then
  redis.call('HSET', base .. 'stat', 'retry', string.format('%.6f %d %d', budget.level, now, budget.ended))
end
write_tally()
return answers
