-- The client has gone; its session stays until it expires, and what happens to it meanwhile is done to it here.
-- KEYS: meta. ARGV: epoch, prefix, pid, generation, confirmed (or empty), life (ms), life of an ended one (ms).
-- Answers FENCED or OK.
local pid = ARGV[3]
local key = key_of(pid)
local record = load(key)
if is_fenced(pid, key, record, ARGV[4]) then
  return answer('FENCED')
end
if string.sub(ARGV[5], 1, 8) == epoch
  and (string.sub(record.confirmed, 1, 8) ~= epoch or record.confirmed < ARGV[5]) then
  call('HSET', key, 'confirmed', ARGV[5])
end
if apply_waiting(pid, key, record, ARGV[7]) then
  call('HSET', key, 'state', 'away', 'owner', '')
  renew(pid, key, ARGV[6], record.watch)
end
return answer('OK')
