-- needs ground record signal
-- cancel: end a request for everybody, or leave it for one waiter.
-- KEYS  pool
-- ARGV  id producer ('' for everybody) stop (0|1: whether the last waiter that leaves ends it)
-- Gives a word: OK (ended now), SIGNALLED (its worker was told), DETACHED, SETTLED, UNKNOWN.
-- Atomic: the record says where the request lies, so it cannot be fetched between the look and the end.
local id, producer, stop = ARGV[1], ARGV[2], ARGV[3] == '1'
local r = load(id)
if not r then return 'UNKNOWN' end
if is_final(r.state) then return 'SETTLED' end
local bad = unsound()
if bad then return bad end
even_if_full()
if producer ~= '' then
  local left = {}
  for _, one in ipairs(words(r.waiters)) do if one ~= producer then left[#left + 1] = one end end
  r.waiters = table.concat(left, ' ')
  redis.call('HSET', record_key(id), 'waiters', r.waiters)
  if #left > 0 or not stop or has(r.flags, 'd') then return 'DETACHED' end
end
if r.state == 'running' then
  if r.cancel == 0 then signal_cancel(r) end
  return 'SIGNALLED'
end
take_out(r)
finish(r, {state = 'cancelled', code = 'CANCELLED', cause = 'CANCELLED', executed = r.executed})
write_tally()
return 'OK'
