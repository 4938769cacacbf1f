-- Deliver: how a fetched or adopted request is told to its worker.
local function delivery(r, stream, entry, fields)
  return {stream, entry, r.id, r.class, int(r.attempt), int(r.deliveries), int(r.max), int(r.deadline - now),
    int(r.attempt_ms), r.run, r.flags, int(r.accepted), fields}
end
