-- A node's sign of life, and once a second for the whole shard a position for everybody.
-- KEYS: meta, nodes, loads. ARGV: epoch, tag, instance, address, life of a node (ms), publishers' slots of an instance,
-- channel of everybody, head of a tick's record, least time between ticks (ms), load (empty: not told).
-- Answers { 1, the nodes as `HGETALL` gives them, their loads likewise } or { 0 } when another instance has this tag.
local tag = ARGV[2]
local nodes, alive = call('HGETALL', KEYS[2]), {}
for i = 1, #nodes, 2 do
  local expires, instance = string.match(nodes[i + 1], '^(%d+) (%S+) ')
  if tonumber(expires) < now then
    call('HDEL', KEYS[2], nodes[i])
    call('HDEL', KEYS[3], nodes[i])
    for slot = 0, tonumber(ARGV[6]) - 1 do
      call('HDEL', KEYS[1], 'b:' .. instance .. ':' .. slot)
    end
  elseif nodes[i] == tag and instance ~= ARGV[3] then
    return { 0 }
  elseif nodes[i] ~= tag then
    alive[#alive + 1] = nodes[i]
    alive[#alive + 1] = nodes[i + 1]
  end
end
local entry = format('%d', now + tonumber(ARGV[5])) .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
call('HSET', KEYS[2], tag, entry)
if ARGV[10] ~= '' then
  call('HSET', KEYS[3], tag, ARGV[10])
end
alive[#alive + 1] = tag
alive[#alive + 1] = entry

local ticked = tonumber(call('HGET', KEYS[1], 'tick'))
if now < ticked or now - ticked >= tonumber(ARGV[9]) then
  next_batch()
  call('HSET', KEYS[1], 'tick', format('%d', now), 'ms', last_ms, 'seq', last_seq)
  call('PUBLISH', ARGV[7], ARGV[8] .. id_of(last_ms, last_seq))
end
return { 1, alive, call('HGETALL', KEYS[3]) }
