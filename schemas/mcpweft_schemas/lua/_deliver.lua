-- Deliver: how a fetched or adopted request is told to its worker.
local function delivery(r, stream, entry, fields)
  return {stream, entry, r.id, r.class, int(r.attempt), int(r.deliveries), int(r.max), int(r.deadline - now),
    r.attempt_ms, r.run, r.flags, r.accepted, fields}
end
