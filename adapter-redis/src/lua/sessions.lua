-- What the scripts of the session store begin with, after the prelude and `notices.lua`.
--
-- A session is a hash: version, ns, sid, subject, identity (text of the caller's) and watch (what is told of it: see
-- `is_watched`), where there are such, gen (raised by each new owner), owner (a node, or empty), state
-- (live, or away: the client is not connected, or not yet again), epoch (in which its owner wrote all of it), changes (counts those made while away), start and
-- confirmed (positions, empty when not of any epoch known), past (stays that have ended: room, since, until and a line
-- end), attempt (to take it over: the last one), done and
-- done_at (the owner's last change of rooms: its number and position), operation (the last one done to it while its
-- client was away, or left to its owner), `r:<room>` (present stays: since), `p:<number>:<operation>` (what the owner has yet to do), ops (numbers them),
-- waiting (how many). One that has ended on purpose, or
-- of whose end was told, is `ended` only, until nobody can ask for it any more.
-- `due` holds when each session expires. `i:<ns>,<room>` holds the sessions of a room.
local due = prefix .. 'due'

-- A session whose expiry nobody carries out goes by itself; not a watched one, of which there is something to tell.
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

-- Whether the session was written before this epoch began: a failover may have undone a part of it. Its owner writes it
-- anew; until then nobody can tell what its client was to receive.
local function is_stale(record)
  return record.epoch and record.epoch ~= epoch
end

local function renew(pid, key, life, watch)
  local expires = now + tonumber(life)
  call('ZADD', due, format('%d', expires), pid)
  if not watch then
    call('PEXPIRE', key, format('%d', tonumber(life) + NEGLECTED))
  end
end

local function enter(pid, key, record, room, since, silently)
  if call('HSET', key, 'r:' .. room, since) == 1 then
    count_presence(record, room, 1, silently)
  end
  call('SADD', index_of(record.ns, room), pid)
  record['r:' .. room] = since
end

local function depart(pid, key, record, room)
  local since = record['r:' .. room]
  if since or is_stale(record) then
    -- its owner knows whether it was in a room; a stale record does not
    record.past = (record.past or '') .. room .. '\t' .. (since or '') .. '\t' .. head() .. '\n'
    call('HSET', key, 'past', record.past)
  end
  if since then
    record['r:' .. room] = nil
    call('HDEL', key, 'r:' .. room)
    call('SREM', index_of(record.ns, room), pid)
    count_presence(record, room, -1)
  end
end

-- A session as `ARGV` gives it, from its namespace on: ns, sid, subject, owner, generation, life, identity, watch.
local function session_of(i)
  local function given(value)
    return value ~= '' and value or nil
  end
  return { ns = ARGV[i], sid = ARGV[i + 1], subject = ARGV[i + 2], owner = ARGV[i + 3], gen = ARGV[i + 4],
    identity = given(ARGV[i + 6]), watch = given(ARGV[i + 7]) }
end

-- Writes a session that has a client; its rooms are yet to be entered.
local function write(pid, key, record, at)
  call('HSET', key, 'version', 1, 'ns', record.ns, 'sid', record.sid, 'subject', record.subject, 'owner', record.owner,
    'gen', record.gen, 'state', 'live', 'epoch', epoch, 'changes', 0, 'start', at, 'confirmed', at)
  if record.identity then
    call('HSET', key, 'identity', record.identity)
  end
  if record.watch then
    call('HSET', key, 'watch', record.watch)
  end
  call('SADD', index_of(record.ns, '*'), pid)
  call('SADD', index_of(record.ns, 's' .. record.sid), pid)
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

-- Ends a session, for a reason ("client", "backend", "lost" or "expired"). It is remembered for `life` that it has
-- ended.
local function finish(pid, key, record, life, reason)
  for field in pairs(record) do
    if string.sub(field, 1, 2) == 'r:' then
      local room = string.sub(field, 3)
      call('SREM', index_of(record.ns, room), pid)
      count_presence(record, room, -1)
    end
  end
  tell_gone(record, reason)
  call('SREM', index_of(record.ns, '*'), pid)
  call('SREM', index_of(record.ns, 's' .. record.sid), pid)
  call('DEL', key)
  call('ZREM', due, pid)
  if life then
    call('HSET', key, 'version', 1, 'ended', 1)
    call('PEXPIRE', key, life)
  end
end

-- Whether the session is another owner's than the one's of this generation. A record that is older than who writes is from
-- before Redis lost something: what it says is not true of its client any more, so it ends.
local function is_fenced(pid, key, record, generation)
  if record.gen == generation then
    return false
  end
  if record.gen and tonumber(record.gen) < tonumber(generation) then
    finish(pid, key, record, slice_length + retention, 'lost')
  end
  return true
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
    finish(pid, key, record, life, 'backend')
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
