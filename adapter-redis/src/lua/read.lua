-- Parts of rooms' logs. Complete up to the head of now.
-- KEYS: meta. ARGV: epoch, what follows a channel in the name of its log, most bytes; then for each part: channel, after
-- (id), through (id).
-- Answers for each part a list of records, or 'TRIMMED'; 'MORE' in place of all when it is over the bytes.
local suffix, budget = ARGV[2], tonumber(ARGV[3])
-- a clock that jumped ahead and came back has let slices expire: the ids remember it
local oldest = id_of(math.max(math.max(now, last_ms) - retention, 0), 0)
-- where the id stands in a record: version, kind, epoch
local from, to = 11, 31
local CHUNK = 64

-- The records of one slice after `after`, the last first; false when some of them may have been dropped.
local function newest_first(key, after, through, found)
  local size = call('LLEN', key)
  local stop = -1
  while size > 0 do
    local part = call('LRANGE', key, stop - CHUNK + 1, stop)
    for i = #part, 1, -1 do
      local id = string.sub(part[i], from, to)
      if id <= after then
        return true
      end
      if id <= through then
        found[#found + 1] = part[i]
        budget = budget - #part[i]
      end
    end
    if budget < 0 then
      return true
    elseif #part < CHUNK then
      return size < most_entries
    end
    stop = stop - CHUNK
  end
  return true
end

local answer = {}
for i = 4, #ARGV, 3 do
  local channel, after, through = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local found, complete = {}, after >= oldest
  if complete then
    local first = math.floor(tonumber(string.sub(after, 1, 13)) / slice_length)
    local last = math.floor(tonumber(string.sub(through, 1, 13)) / slice_length)
    last = math.min(last, math.floor(last_ms / slice_length))
    for slice = last, first, -1 do
      if not newest_first(channel .. suffix .. slice, after, through, found) then
        complete = false
        break
      end
      if budget < 0 then
        return 'MORE'
      end
    end
  end
  answer[#answer + 1] = complete and found or 'TRIMMED'
end
return answer
