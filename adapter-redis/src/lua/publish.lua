-- Accepts a batch: each message is given its id, appended to the log of each of its rooms and published, in this order.
-- KEYS: meta. ARGV: epoch, the publisher's slot (a field of meta), number of the batch, head of a logged record, what follows a
-- channel in the name of its log, channel of everybody; then the items:
--   l channel record           to the log of one room, and to its channel
--   m count channels... record to the logs of several rooms, and to everybody
--   u channel record           to a channel only
--   k key digest life(ms)      before an item: its idempotency key
-- Logged records begin with the item's number, three digits, which ends its id.
-- Answers "<ms> <seq>": the id of item 0 (that of item n is n more); then for each item that was not accepted anew
-- " <item>:<id>" (a duplicate) or " <item>:conflict".
local slot, number = ARGV[2], tonumber(ARGV[3])
local seen = meta[7]
if seen then
  local before, reply = string.match(seen, '^(%d+) (.*)$')
  before = tonumber(before)
  if before == number then
    return reply
  elseif before > number then
    return redis.error_reply('STALE the slot has been used since')
  end
end

next_batch()
local first, count = last_seq, #ARGV
local head_of_record = ARGV[4] .. format('%013d-%04d', last_ms, first / 1000)
local suffix = ARGV[5] .. math.floor(last_ms / slice_length)
-- from the time that its name says, which is ahead while the clock is behind the ids
local life, behind = slice_length + retention + math.max(last_ms - now, 0), now < last_ms
local reply = { last_ms .. ' ' .. first }

local function append(channel, record)
  local key = channel .. suffix
  local length = call('RPUSH', key, record)
  if length == 1 or behind then
    -- and a slice is written to for longer than its length
    call('PEXPIRE', key, life)
  end
  if length > most_entries then
    call('LPOP', key)
  end
end

local i, item, written = 7, 0, false
while i <= count do
  local kind, claim, fresh = ARGV[i], nil, true
  if kind == 'k' then
    claim = { key = ARGV[i + 1], digest = ARGV[i + 2], life = ARGV[i + 3] }
    i = i + 4
    kind = ARGV[i]
    local value = call('GET', claim.key)
    if value then
      local digest, id = string.match(value, '^(%S+) (.*)$')
      reply[#reply + 1] = item .. ':' .. (digest == claim.digest and id or 'conflict')
      fresh = false
    end
  end
  if kind == 'l' then
    if fresh then
      local channel, record = ARGV[i + 1], head_of_record .. ARGV[i + 2]
      append(channel, record)
      written = true
      call('PUBLISH', channel, record)
      last_seq = first + item
    end
    i = i + 3
  elseif kind == 'u' then
    if fresh then
      if not written then
        -- a Redis that takes no writes refuses here, before anything is sent
        call('HSET', KEYS[1], 'ms', last_ms, 'seq', last_seq)
        written = true
      end
      call('PUBLISH', ARGV[i + 1], ARGV[i + 2])
    end
    i = i + 3
  else
    local rooms = tonumber(ARGV[i + 1])
    if fresh then
      local record = head_of_record .. ARGV[i + 2 + rooms]
      for room = i + 2, i + 1 + rooms do
        append(ARGV[room], record)
      end
      written = true
      call('PUBLISH', ARGV[6], record)
      last_seq = first + item
    end
    i = i + 3 + rooms
  end
  if claim and fresh then
    call('SET', claim.key, claim.digest .. ' ' .. (kind == 'u' and '-' or head()), 'PX', claim.life)
  end
  item = item + 1
end

reply = table.concat(reply, ' ')
call('HSET', KEYS[1], 'ms', last_ms, 'seq', last_seq, slot, number .. ' ' .. reply)
return reply
