-- Writes a new session; its rooms count from the position answered.
-- KEYS: meta. ARGV: epoch, prefix, pid, ns, sid, subject, owner, generation, life (ms), identity, watch, most sessions
-- (0: any number), then rooms.
local pid = ARGV[3]
local key, record = key_of(pid), session_of(4)
local before = call('HMGET', key, 'gen', 'ended', 'start')
if before[2] or (before[1] and before[3] ~= '') then
  -- the call was repeated, perhaps late: what has happened to the session since stands
  return before[3] or head()
end
local most = tonumber(ARGV[12])
if most > 0 and call('ZCARD', due) >= most then
  return 'FULL'
end
local at = head()
write(pid, key, record, at)
for i = 13, #ARGV do
  enter(pid, key, record, ARGV[i], at)
end
renew(pid, key, ARGV[9], record.watch)
return answer(at)
