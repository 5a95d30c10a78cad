-- Writes a new session; its rooms count from the position answered.
-- KEYS: meta. ARGV: epoch, prefix, pid, ns, sid, subject, owner, generation, life (ms), most sessions (0: any number),
-- then rooms.
local pid = ARGV[3]
local key, record = key_of(pid), { ns = ARGV[4] }
local before = call('HMGET', key, 'gen', 'ended', 'start')
if before[2] or (before[1] and before[3] ~= '') then
  -- the call was repeated, perhaps late: what has happened to the session since stands
  return before[3] or head()
end
local most = tonumber(ARGV[10])
if most > 0 and call('ZCARD', due) >= most then
  return 'FULL'
end
local at = head()
call('HSET', key, 'version', 1, 'ns', ARGV[4], 'sid', ARGV[5], 'subject', ARGV[6], 'owner', ARGV[7], 'gen', ARGV[8],
  'state', 'live', 'changes', 0, 'start', at, 'confirmed', at)
call('SADD', index_of(record.ns, '*'), pid)
call('SADD', index_of(record.ns, 's' .. ARGV[5]), pid)
for i = 11, #ARGV do
  enter(pid, key, record, ARGV[i], at)
end
renew(pid, key, ARGV[9])
return at
