-- Accepts a batch: each message is given its id, appended to the log of each of its rooms and published, in this order.
-- KEYS: meta, the publisher's slots. ARGV: epoch, slot, number of the batch, head of a logged record, prefix of log
-- keys, prefix of channels, channel of everybody, life of a log slice (ms), its length (ms), its most entries; then
-- the items:
--   l room record              to the log and the channel of one room
--   m count room... record     to the logs of several rooms, and to everybody
--   u channel record           to a channel only
--   k key digest life(ms)      before an item: its idempotency key
-- Answers "<ms> <seq>": the id of the first logged item, those of the others follow; then for each item that was not
-- accepted anew " <index>:<id>" (a duplicate) or " <index>:conflict".
local slot, number = ARGV[2], tonumber(ARGV[3])
local seen = call('HGET', KEYS[2], slot)
if seen then
  local before, reply = string.match(seen, '^(%d+) (.*)$')
  before = tonumber(before)
  if before == number then
    return reply
  elseif before > number then
    return redis.error_reply('STALE the slot has been used since')
  end
end

local count = #ARGV
advance(count)
local slice = math.floor(last_ms / tonumber(ARGV[9]))
local record_head = ARGV[4] .. format('%013d', last_ms) .. '-'
local log, channel, everybody = ARGV[5] .. slice .. ':', ARGV[6], ARGV[7]
local life, most = ARGV[8], tonumber(ARGV[10])
local reply = { last_ms .. ' ' .. (last_seq + 1) }

local function append(room, record)
  local key = log .. room
  local length = call('RPUSH', key, record)
  if length == 1 or now < last_ms then
    -- while the clock is behind the ids, a slice lasts longer than its name says
    call('PEXPIRE', key, life)
  end
  if length > most then
    call('LPOP', key)
  end
end

local i, index = 11, 0
while i <= count do
  local kind, claim = ARGV[i], nil
  if kind == 'k' then
    claim = { key = ARGV[i + 1], digest = ARGV[i + 2], life = ARGV[i + 3] }
    i = i + 4
    kind = ARGV[i]
    local value = call('GET', claim.key)
    if value then
      local digest, id = string.match(value, '^(%S+) (.*)$')
      claim.before = digest == claim.digest and id or 'conflict'
      reply[#reply + 1] = index .. ':' .. claim.before
    end
  end
  local fresh = not (claim and claim.before)
  if kind == 'u' then
    if fresh then
      call('PUBLISH', ARGV[i + 1], ARGV[i + 2])
    end
    i = i + 3
  elseif kind == 'l' then
    if fresh then
      last_seq = last_seq + 1
      local room, record = ARGV[i + 1], record_head .. format('%07d', last_seq) .. ARGV[i + 2]
      append(room, record)
      call('PUBLISH', channel .. room, record)
    end
    i = i + 3
  else
    local rooms = tonumber(ARGV[i + 1])
    if fresh then
      last_seq = last_seq + 1
      local record = record_head .. format('%07d', last_seq) .. ARGV[i + 2 + rooms]
      for room = i + 2, i + 1 + rooms do
        append(ARGV[room], record)
      end
      call('PUBLISH', everybody, record)
    end
    i = i + 3 + rooms
  end
  if claim and fresh then
    local id = kind == 'u' and '-' or head()
    call('SET', claim.key, claim.digest .. ' ' .. id, 'PX', claim.life)
  end
  index = index + 1
end

if last_seq >= 0 then
  call('HSET', KEYS[1], 'ms', last_ms, 'seq', last_seq)
end
reply = table.concat(reply, ' ')
call('HSET', KEYS[2], slot, number .. ' ' .. reply)
return reply
