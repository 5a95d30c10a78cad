-- Removes what has been told. KEYS: meta. ARGV: epoch, prefix, then for each: entry, id.
-- Answers how many entries have something further to tell.
local further = 0
for i = 3, #ARGV, 2 do
  local entry, id = ARGV[i], ARGV[i + 1]
  local key = notice_key(entry)
  local queue = call('HGET', key, 'queue') or ''
  -- not when it was settled before
  if queue == '' or string.sub(queue, 1, #id) == id then
    queue = string.match(queue, '\n(.*)$') or ''
    if queue == '' then
      call('DEL', key)
      call('ZREM', notices, entry)
    else
      call('HSET', key, 'queue', queue)
      call('ZADD', notices, format('%d', now), entry)
      further = further + 1
    end
  end
end
return further
