-- needs ground record
-- progress: tell a running request's waiters how far it is.
-- KEYS  pool
-- ARGV  id stream entry body
-- Gives OK, or LOST where the delivery is no longer the caller's.
-- Atomic: a zombie's progress reaches nobody.
local r = load(ARGV[1])
if not r or r.state ~= 'running' or r.stream ~= ARGV[2] or r.entry ~= ARGV[3] then return 'LOST' end
tell(r, {'v', '1', 'id', r.id, 'kind', 'progress', 'attempt', int(r.attempt), 'body', ARGV[4]})
return 'OK'
