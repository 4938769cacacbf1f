-- Signal: tells a running request's worker to stop, and sets the time at which its grace is over. Where it cannot
-- be told, the grace ends the request all the same.
local function signal_cancel(r)
  redis.call('ZADD', base .. 'expiry', int(now + CANCEL_GRACE), r.id)
  redis.call('HSET', record_key(r.id), 'cancel', int(now))
  local control = base .. 'ctl:' .. r.worker
  redis.pcall('XADD', control, 'MAXLEN', '~', '1000', '*', 'kind', 'cancel', 'id', r.id, 'entry', r.entry)
  redis.call('PEXPIRE', control, 60000)
end
