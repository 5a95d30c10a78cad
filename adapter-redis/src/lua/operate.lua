-- Does something to sessions: at once where the client is away, otherwise it is left to the owner.
-- KEYS: meta. ARGV: epoch, prefix, ns, operation's id, operation (see `apply`), life of an ended session (ms), number of
-- rooms, these, then sessions that may be in one of the rooms.
-- Answers how many were changed here.
local ns, id, operation, rooms = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[7])
local changed = 0

local function concerned(record)
  if record.ns ~= ns then
    return false
  end
  for i = 8, 7 + rooms do
    local room = ARGV[i]
    if room == '*' or room == 's' .. record.sid or record['r:' .. room] then
      return true
    end
  end
  return false
end

for i = 8 + rooms, #ARGV do
  local pid = ARGV[i]
  local key = key_of(pid)
  local record = load(key)
  -- not when the call is repeated
  if record.gen and record.operation ~= id and concerned(record) then
    call('HSET', key, 'operation', id)
    -- of a stale one it is not known whether its client is away
    if record.state == 'live' or (is_stale(record) and record.owner ~= '') then
      local number = call('HINCRBY', key, 'ops', 1)
      call('HSET', key, format('p:%09d:', number) .. id, operation)
      call('HINCRBY', key, 'waiting', 1)
    else
      changed = changed + 1
      if apply(pid, key, record, operation, ARGV[6]) then
        call('HINCRBY', key, 'changes', 1)
      end
    end
  end
end
return answer(changed)
