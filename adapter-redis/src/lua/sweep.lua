-- Removes sessions that have expired. KEYS: meta. ARGV: epoch, prefix, at most so many, life of an ended one (ms).
-- Answers how many.
local expired = call('ZRANGEBYSCORE', due, '-inf', '(' .. format('%d', now), 'LIMIT', 0, ARGV[3])
for _, pid in ipairs(expired) do
  local key = key_of(pid)
  local record = load(key)
  if record.gen then
    -- of which was told that it is gone does not come to life again
    finish(pid, key, record, record.watch and ARGV[4], 'expired')
  else
    call('ZREM', due, pid)
  end
end
return answer(#expired)
