-- Removes sessions that have expired. Whoever is told of one is the only one.
-- KEYS: meta. ARGV: epoch, prefix, at most so many. Answers for each { ns, sid, subject }.
local answer = {}
local expired = call('ZRANGEBYSCORE', due, '-inf', '(' .. format('%d', now), 'LIMIT', 0, ARGV[3])
for _, pid in ipairs(expired) do
  local key = key_of(pid)
  local record = load(key)
  if record.gen then
    finish(pid, key, record)
    answer[#answer + 1] = { record.ns, record.sid, record.subject }
  else
    call('ZREM', due, pid)
  end
end
return answer
