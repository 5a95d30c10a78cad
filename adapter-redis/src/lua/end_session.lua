-- Ends a session on purpose. KEYS: meta. ARGV: epoch, prefix, pid, generation, life of an ended one (ms).
-- Answers FENCED or OK.
local key = key_of(ARGV[3])
local record = load(key)
if record.ended then
  return 'OK'
end
if record.gen ~= ARGV[4] then
  return 'FENCED'
end
finish(ARGV[3], key, record, ARGV[5])
return 'OK'
