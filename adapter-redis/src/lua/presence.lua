-- Who is in a room. KEYS: meta, nodes. ARGV: epoch, prefix, ns, room, at most so many.
-- Answers { how many there are, { sid, subject, live or away }... }. Away is also who was at a node that is not alive.
local index, most = index_of(ARGV[3], ARGV[4]), tonumber(ARGV[5])
local alive, nodes = {}, call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  alive[nodes[i]] = tonumber(string.match(nodes[i + 1], '^%d+')) >= now
end
local found, seen, cursor = { call('SCARD', index) }, {}, '0'
repeat
  local part = call('SSCAN', index, cursor, 'COUNT', 100)
  cursor = part[1]
  for _, pid in ipairs(part[2]) do
    if #found > most then
      break
    end
    local session = not seen[pid] and call('HMGET', key_of(pid), 'sid', 'subject', 'state', 'owner')
    if session and session[1] then
      local state = session[3] == 'live' and alive[session[4]] and 'live' or 'away'
      found[#found + 1] = { session[1], session[2], state }
    end
    seen[pid] = true
  end
until cursor == '0' or #found > most
return found
