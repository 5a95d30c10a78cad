-- Leases what is to be told to the caller: meanwhile nobody else is given it.
-- KEYS: meta. ARGV: epoch, prefix, lease (ms), at most so many.
-- Answers { how many notices were ever dropped, { entry, its fields }... }.
local claimed = { tonumber(call('HGET', KEYS[1], 'dropped') or 0) }
local free = call('ZRANGEBYSCORE', notices, '-inf', format('%d', now), 'LIMIT', 0, ARGV[4])
for _, entry in ipairs(free) do
  local fields = call('HGETALL', notice_key(entry))
  if #fields > 0 then
    call('ZADD', notices, format('%d', now + tonumber(ARGV[3])), entry)
    claimed[#claimed + 1] = { entry, fields }
  else
    call('ZREM', notices, entry)
  end
end
return claimed
