-- Writes a session that Redis has lost, or of which it may have lost a part, while its client stayed. What the client has
-- is not known: it can be recovered again once `confirmed`, or what it shows, is of this epoch.
-- KEYS: meta. ARGV: epoch, prefix, pid, ns, sid, subject, owner, generation, life (ms), identity, watch, then rooms.
-- Answers OK, or FENCED when it is there under another owner or was ended.
local pid = ARGV[3]
local key = key_of(pid)
local record = load(key)
if record.ended or (record.gen and record.gen ~= ARGV[8]) then
  return 'FENCED'
end
local session = session_of(4)
if not record.gen or is_stale(record) then
  write(pid, key, session, '')
  local left = {}
  for field in pairs(record) do
    if string.sub(field, 1, 2) == 'r:' then
      left[string.sub(field, 3)] = true
    end
  end
  for i = 12, #ARGV do
    local room = ARGV[i]
    if not left[room] then
      -- it was there all the time: nobody has come
      enter(pid, key, session, room, '', true)
    end
    left[room] = nil
  end
  for room in pairs(left) do
    -- nor did its client hear it since: this is no stay that has ended
    call('HDEL', key, 'r:' .. room)
    call('SREM', index_of(session.ns, room), pid)
    count_presence(session, room, -1)
  end
end
renew(pid, key, ARGV[9], session.watch)
return 'OK'
