-- Writes a session that has gone while its client stayed (Redis lost it). What the client has is not known: it can be
-- recovered again once `confirmed`, or what it shows, is of this epoch.
-- KEYS: meta. ARGV: epoch, prefix, pid, ns, sid, subject, owner, generation, life (ms), identity, watch, then rooms.
-- Answers OK, or FENCED when it is there under another owner or was ended.
local pid = ARGV[3]
local key = key_of(pid)
local record = load(key)
if record.ended or (record.gen and record.gen ~= ARGV[8]) then
  return 'FENCED'
end
if not record.gen then
  record = session_of(4)
  write(pid, key, record, '')
  for i = 12, #ARGV do
    -- it was there all the time: nobody has come
    enter(pid, key, record, ARGV[i], '', true)
  end
end
renew(pid, key, ARGV[9], record.watch)
return 'OK'
