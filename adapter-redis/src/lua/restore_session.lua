-- Writes a session that has gone while its client stayed (Redis lost it). What the client has is not known: it can be
-- recovered again once `confirmed`, or what it shows, is of this epoch.
-- KEYS: meta. ARGV: epoch, prefix, pid, ns, sid, subject, owner, generation, life (ms), then rooms.
-- Answers OK, or FENCED when it is there under another owner or was ended.
local pid = ARGV[3]
local key = key_of(pid)
local record = load(key)
if record.ended or (record.gen and record.gen ~= ARGV[8]) then
  return 'FENCED'
end
if not record.gen then
  record = { ns = ARGV[4] }
  call('HSET', key, 'version', 1, 'ns', ARGV[4], 'sid', ARGV[5], 'subject', ARGV[6], 'owner', ARGV[7],
    'gen', ARGV[8], 'state', 'live', 'changes', 0, 'start', '', 'confirmed', '')
  call('SADD', index_of(record.ns, '*'), pid)
  call('SADD', index_of(record.ns, 's' .. ARGV[5]), pid)
  for i = 10, #ARGV do
    enter(pid, key, record, ARGV[i], '')
  end
end
renew(pid, key, ARGV[9])
return 'OK'
