-- The last records of a part of a room's log, so far as they are there.
-- KEYS: meta. ARGV: epoch, what follows a channel in the name of its log, channel, after (id), through (id), most records,
-- most bytes (beyond which one more may be).
-- Answers the records, the last first.
local suffix, channel, after, through = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most, budget = tonumber(ARGV[6]), tonumber(ARGV[7])
-- where the id stands in a record: version, kind, epoch
local from, to = 11, 31
local CHUNK = 64
local found = {}
local first = math.floor(tonumber(string.sub(after, 1, 13)) / slice_length)
local last = math.floor(math.min(tonumber(string.sub(through, 1, 13)), last_ms) / slice_length)
for slice = last, first, -1 do
  local stop, part = -1, nil
  repeat
    part = call('LRANGE', channel .. suffix .. slice, stop - CHUNK + 1, stop)
    for i = #part, 1, -1 do
      local id = string.sub(part[i], from, to)
      if id <= after or #found >= most or budget < 0 then
        return found
      elseif id <= through then
        found[#found + 1] = part[i]
        budget = budget - #part[i]
      end
    end
    stop = stop - CHUNK
  until #part < CHUNK
end
return found
