-- What every script begins with. KEYS[1] is the shard's `meta`, ARGV[1] the epoch that the caller knows.
local call, format = redis.call, string.format
-- (publish.lua finds its slot there too, under ARGV[2]: one call instead of two)
local meta = call('HMGET', KEYS[1], 'epoch', 'ms', 'seq', 'slice', 'retention', 'entries', ARGV[2] or '')
if meta[1] ~= ARGV[1] then
  return redis.error_reply('EPOCH the log is of another epoch')
end
local epoch, last_ms, last_seq = meta[1], tonumber(meta[2]), tonumber(meta[3])
-- The bounds of the log, which are of the epoch, whatever the caller is configured with: length of a slice and retention
-- in ms, most entries of a slice.
local slice_length, retention, most_entries = tonumber(meta[4]), tonumber(meta[5]), tonumber(meta[6])
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- An id as it is written: its order as text is the order of ids.
local function id_of(ms, seq)
  return format('%013d-%07d', ms, seq)
end

-- The id of the last message, with its epoch.
local function head()
  return epoch .. '-' .. id_of(last_ms, last_seq)
end

-- Moves to the first of the next thousand ids, which are a batch's.
local function next_batch()
  if now > last_ms then
    last_ms, last_seq = now, 0
  else
    last_seq = (math.floor(last_seq / 1000) + 1) * 1000
    if last_seq > 4193000 then
      last_ms, last_seq = last_ms + 1, 0
    end
  end
end
