-- Ends a session on purpose. KEYS: meta. ARGV: epoch, prefix, pid, generation, life of an ended one (ms),
-- reason.
-- Answers FENCED or OK.
local key = key_of(ARGV[3])
local record = load(key)
if record.ended then
  return 'OK'
end
if is_fenced(ARGV[3], key, record, ARGV[4]) then
  return answer('FENCED')
end
finish(ARGV[3], key, record, ARGV[5], ARGV[6])
return answer('OK')
