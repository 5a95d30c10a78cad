-- Makes a node the owner of a session, and fences the earlier one. The client counts as away until `attach`.
-- KEYS: meta. ARGV: epoch, prefix, pid, ns, whose session (* anybody's, or = and the subject), new owner, life (ms), life of an
-- ended one (ms), prefix of the nodes' channels, head of a fence's record, the attempt (the same when the call is repeated).
-- Answers UNKNOWN, FOREIGN, or { generation, the session's fields }.
local pid = ARGV[3]
local key = key_of(pid)
local record = load(key)
local expires = record.gen and call('ZSCORE', due, pid)
if not expires or tonumber(expires) < now then
  return 'UNKNOWN'
end
if record.ns ~= ARGV[4] or (ARGV[5] ~= '*' and ARGV[5] ~= '=' .. record.subject) then
  return 'FOREIGN'
end
if is_stale(record) then
  finish(pid, key, record, ARGV[8], 'lost')
  return answer('UNKNOWN')
end
if record.attempt == ARGV[11] then
  return { record.gen, flat(record) }
end
if not apply_waiting(pid, key, record, ARGV[8]) then
  return answer('UNKNOWN')
end
local before = record.owner
record.gen = format('%d', tonumber(record.gen) + 1)
call('HSET', key, 'gen', record.gen, 'owner', ARGV[6], 'state', 'away', 'attempt', ARGV[11])
call('HDEL', key, 'done', 'done_at')
renew(pid, key, ARGV[7], record.watch)
if before ~= '' then
  call('PUBLISH', ARGV[9] .. before, ARGV[10] .. record.gen .. ' ' .. record.sid .. ' ' .. record.ns)
end
return answer({ record.gen, flat(record) })
