-- Expire: what the passing of time does to one request. Returns a word.
local function expire_one(id)
  local r = load(id)
  if not r then
    redis.call('ZREM', base .. 'expiry', id)
    return 'UNKNOWN'
  end
  if is_final(r.state) then
    redis.call('ZREM', base .. 'expiry', id)
    return 'SETTLED'
  end
  local over = r.deadline <= now
  if r.state ~= 'running' then
    if not over and not (r.start_by > 0 and r.start_by <= now and r.deliveries == 0) then return 'WAITING' end
    take_out(r)
    finish(r, {state = 'expired', code = 'TIMEOUT', cause = 'QUEUE_TIMEOUT', executed = r.executed})
    return 'ENDED'
  end
  if r.cancel > 0 then
    if r.cancel + CANCEL_GRACE > now then return 'SIGNALLED' end
    local late = r.deadline <= r.cancel
    if late then abandon(r, 'expired', 'TIMEOUT', 'DEADLINE') else abandon(r, 'cancelled', 'CANCELLED', 'CANCELLED') end
    return 'ENDED'
  end
  if not over then return 'RUNNING' end
  signal_cancel(r)
  return 'SIGNALLED'
end
