-- Enters and leaves rooms: those entered count from the position answered, those left up to it.
-- KEYS: meta. ARGV: epoch, prefix, pid, generation, operation that asks for it (or empty), the owner's channel, head of
-- a position's record, number of the change (grows; the same when the call is repeated), identity (or empty: the
-- same as before), number of rooms to enter, these, then rooms to leave.
-- Answers FENCED or the position.
local pid, number, entering = ARGV[3], tonumber(ARGV[8]), tonumber(ARGV[10])
local key = key_of(pid)
local record = load(key)
if is_fenced(pid, key, record, ARGV[4]) then
  return answer('FENCED')
end
local done = tonumber(record.done)
if done == number then
  return record.done_at
elseif done and done > number then
  -- late: a later change has been made since
  return 'FENCED'
end
local at = head()
call('HSET', key, 'done', number, 'done_at', at)
if ARGV[9] ~= '' then
  record.identity = ARGV[9]
  call('HSET', key, 'identity', ARGV[9])
end
if ARGV[5] ~= '' then
  for field in pairs(record) do
    if string.sub(field, 1, 2) == 'p:' and string.sub(field, -#ARGV[5]) == ARGV[5] then
      call('HDEL', key, field)
      call('HINCRBY', key, 'waiting', -1)
    end
  end
end
if record.past then
  forget_past(key, record)
end
for i = 11 + entering, #ARGV do
  depart(pid, key, record, ARGV[i])
end
for i = 11, 10 + entering do
  local since = record['r:' .. ARGV[i]]
  -- what a stale record says of a room may be from before it was left
  if not since or (is_stale(record) and string.sub(since, 1, 8) ~= epoch) then
    enter(pid, key, record, ARGV[i], at)
  end
end
if #ARGV > 10 + entering then
  -- the owner waits until it has heard all that came before
  call('PUBLISH', ARGV[6], ARGV[7] .. id_of(last_ms, last_seq))
end
return answer(at)
