-- Signal: tells a worker something on its control stream. One that cannot be told learns it later, or not at all.
local function signal(worker, ...)
  local control = base .. 'ctl:' .. worker
  redis.pcall('XADD', control, 'MAXLEN', '~', '1000', '*', ...)
  redis.call('PEXPIRE', control, 60000)
end

-- Tells a running request's worker to stop, and sets the time at which its grace is over. Where it cannot be told,
-- the grace ends the request all the same.
local function signal_cancel(r)
  redis.call('ZADD', base .. 'expiry', int(now + CANCEL_GRACE), r.id)
  redis.call('HSET', record_key(r.id), 'cancel', int(now))
  signal(r.worker, 'kind', 'cancel', 'id', r.id, 'entry', r.entry)
end
