-- What the scripts of the session store begin with, after the prelude. ARGV[2] is the prefix of all keys.
--
-- A session is a hash: version, ns, sid, subject, gen (raised by each new owner), owner (a node, or empty), state
-- (live, or away: the client is not connected, or not yet again), changes (counts those made while away), start and
-- confirmed (positions, empty when not of any epoch known), past (stays that have ended: room, since, until and a line
-- end), attempt (to take it over: the last one), done and
-- done_at (the owner's last change of rooms: its number and position), operation (the last one done to it while its
-- client was away, or left to its owner), `r:<room>` (present stays: since), `p:<number>:<operation>` (what the owner has yet to do), ops (numbers them),
-- waiting (how many). One that was ended on purpose is `ended` only, until nobody can ask for it any more.
-- `due` holds when each session expires. `i:<ns>,<room>` holds the sessions of a room.
local prefix = ARGV[2]
local due = prefix .. 'due'

-- A session whose expiry nobody carries out goes by itself.
local NEGLECTED = 86400000

local function key_of(pid)
  return prefix .. 's:' .. pid
end

local function index_of(ns, room)
  return prefix .. 'i:' .. ns .. ',' .. room
end

local function load(key)
  local flat, record = call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    record[flat[i]] = flat[i + 1]
  end
  return record
end

local function renew(pid, key, life)
  local expires = now + tonumber(life)
  call('ZADD', due, format('%d', expires), pid)
  call('PEXPIRE', key, format('%d', tonumber(life) + NEGLECTED))
end

local function enter(pid, key, record, room, since)
  call('HSET', key, 'r:' .. room, since)
  call('SADD', index_of(record.ns, room), pid)
  record['r:' .. room] = since
end

local function depart(pid, key, record, room)
  local since = record['r:' .. room]
  if since then
    record.past = (record.past or '') .. room .. '\t' .. since .. '\t' .. head() .. '\n'
    record['r:' .. room] = nil
    call('HDEL', key, 'r:' .. room)
    call('HSET', key, 'past', record.past)
    call('SREM', index_of(record.ns, room), pid)
  end
end

-- Stays that the client has everything of are not read again.
local function forget_past(key, record)
  local kept, confirmed = {}, record.confirmed
  for line, ending in string.gmatch(record.past or '', '([^\n]*\t(%S*)\n)') do
    if string.sub(ending, 1, 8) == epoch and (string.sub(confirmed, 1, 8) ~= epoch or ending > confirmed) then
      kept[#kept + 1] = line
    end
  end
  record.past = table.concat(kept)
  call('HSET', key, 'past', record.past)
end

-- Ends a session; it is remembered for `life` that it was ended on purpose.
local function finish(pid, key, record, life)
  for field in pairs(record) do
    if string.sub(field, 1, 2) == 'r:' then
      call('SREM', index_of(record.ns, string.sub(field, 3)), pid)
    end
  end
  call('SREM', index_of(record.ns, '*'), pid)
  call('SREM', index_of(record.ns, 's' .. record.sid), pid)
  call('DEL', key)
  call('ZREM', due, pid)
  if life then
    call('HSET', key, 'version', 1, 'ended', 1)
    call('PEXPIRE', key, life)
  end
end

-- Does what an operation says to a session whose client is away: "join", "leave" or "disconnect", and rooms, by lines.
-- False when the session has ended by it.
local function apply(pid, key, record, operation, life)
  local action
  for line in string.gmatch(operation, '[^\n]+') do
    if not action then
      action = line
    elseif action == 'join' then
      if not record['r:' .. line] then
        enter(pid, key, record, line, head())
      end
    else
      depart(pid, key, record, line)
    end
  end
  if action == 'disconnect' then
    finish(pid, key, record, life)
    return false
  end
  return true
end

-- Does what its owner had yet to do. False when the session has ended by it.
local function apply_waiting(pid, key, record, life)
  if (tonumber(record.waiting) or 0) == 0 then
    return true
  end
  local fields = {}
  for field in pairs(record) do
    if string.sub(field, 1, 2) == 'p:' then
      fields[#fields + 1] = field
    end
  end
  table.sort(fields)
  for _, field in ipairs(fields) do
    if not apply(pid, key, record, record[field], life) then
      return false
    end
    call('HDEL', key, field)
    record[field] = nil
  end
  call('HSET', key, 'waiting', 0)
  return true
end

-- A session as its fields, in a list.
local function flat(record)
  local list = {}
  for field, value in pairs(record) do
    list[#list + 1] = field
    list[#list + 1] = value
  end
  return list
end
