-- What the scripts begin with that may have something to tell of watched sessions, after the prelude. ARGV[2] is the
-- prefix of all keys.
--
-- What is to be told waits in an outbox: `notices` holds its entries, each with the time (ms) from which it may be
-- claimed, and `t:<entry>` what it says. An entry is
--   g<socket>                      a session has ended: ns, sid, subject, identity, reason
--   p<ns>,<room> LF <member>       a member has come to a room or left it: ns, room, member, queue (an id, a space, joined
--                                  or left, and a line end, for each change that is not settled; the first is told first)
-- `w:<ns>,<room>` counts the watched sessions of a room for each member: `u<subject>`, or `s<socket>` where there is none.
local prefix = ARGV[2]
local notices = prefix .. 'notices'
local MOST_NOTICES, MOST_QUEUED = 1000000, 16
local something_to_tell = false

local function notice_key(entry)
  return prefix .. 't:' .. entry
end

-- Whether something is to be told of the session: "g" that it is gone, "p" who is present.
local function is_watched(record, what)
  return record.watch and string.find(record.watch, what, 1, true) ~= nil
end

-- False when there are too many notices: this one is dropped, and counted.
local function has_place()
  if call('ZCARD', notices) < MOST_NOTICES then
    return true
  end
  call('HINCRBY', KEYS[1], 'dropped', 1)
  return false
end

local function tell(entry, ...)
  call('HSET', notice_key(entry), ...)
  -- one that is being told keeps its time
  call('ZADD', notices, 'NX', format('%d', now), entry)
  something_to_tell = true
end

local function tell_gone(record, reason)
  if is_watched(record, 'g') and has_place() then
    tell('g' .. record.sid, 'ns', record.ns, 'sid', record.sid, 'subject', record.subject,
      'identity', record.identity or '', 'reason', reason)
  end
end

local function tell_presence(ns, room, member, change)
  local entry = 'p' .. ns .. ',' .. room .. '\n' .. member
  local queue = call('HGET', notice_key(entry), 'queue')
  if not queue and not has_place() then
    return
  end
  queue = queue or ''
  local _, queued = string.gsub(queue, '\n', '')
  if queued >= MOST_QUEUED and string.match(queue, '(%a+)\n$') ~= change then
    -- nobody has told of the one before: it is as if neither had been
    queue = string.match(queue, '^(.*\n)[^\n]*\n$')
  else
    local id = epoch .. format('-%011d', call('HINCRBY', KEYS[1], 'notices', 1))
    queue = queue .. id .. ' ' .. change .. '\n'
  end
  tell(entry, 'ns', ns, 'room', room, 'member', member, 'queue', queue)
end

-- A watched session has come to a room (1) or left it (-1).
local function count_presence(record, room, by, silently)
  if not is_watched(record, 'p') or string.sub(room, 1, 1) ~= 'n' then
    return
  end
  local member = record.subject ~= '' and 'u' .. record.subject or 's' .. record.sid
  local present = prefix .. 'w:' .. record.ns .. ',' .. room
  local sessions = call('HINCRBY', present, member, by)
  if sessions <= 0 then
    call('HDEL', present, member)
  end
  if sessions == 0 then
    tell_presence(record.ns, room, member, 'left')
  elseif sessions == by and not silently then
    tell_presence(record.ns, room, member, 'joined')
  end
end

-- What a script answers: with a word before it when there is something to tell.
local function answer(value)
  if something_to_tell then
    return { 'TOLD', value }
  end
  return value
end
