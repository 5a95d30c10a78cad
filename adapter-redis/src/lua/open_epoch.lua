-- Finds the shard's epoch, or begins a new one: when there is none, when Redis was restarted or replaced since, when it
-- has evicted keys, or when a node comes that relies on a longer retention than was kept. Not preceded by the prelude, as
-- there may be no epoch yet.
-- KEYS: meta. ARGV: run id of this Redis, epoch to begin, id from which a new epoch counts at least (ms, seq),
-- keys evicted since the start of this run, bounds of a new epoch's log: slice (ms), retention (ms), entries of a slice.
-- Answers epoch, its first id (ms, seq), last id (ms, seq), time in ms.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta = call('HMGET', KEYS[1], 'epoch', 'run', 'ms', 'seq', 'start_ms', 'start_seq', 'evicted', 'retention')
local epoch, run, ms, seq, start_ms, start_seq, evicted, retention = unpack(meta)
if not epoch or run ~= ARGV[1] or tonumber(ARGV[5]) > tonumber(evicted or 0) or tonumber(ARGV[7]) > tonumber(retention) then
  epoch, run, evicted = ARGV[2], ARGV[1], ARGV[5]
  ms, seq = tonumber(ms or 0), tonumber(seq or 0)
  local floor_ms, floor_seq = tonumber(ARGV[3]), tonumber(ARGV[4])
  if floor_ms > ms or (floor_ms == ms and floor_seq > seq) then
    ms, seq = floor_ms, floor_seq
  end
  if now > ms then
    ms, seq = now, 0
  else
    ms, seq = ms + 1, 0
  end
  start_ms, start_seq = ms, seq
  call('HSET', KEYS[1], 'version', 1, 'epoch', epoch, 'run', run, 'ms', ms, 'seq', seq,
    'start_ms', ms, 'start_seq', seq, 'evicted', evicted, 'tick', 0, 'slice', ARGV[6], 'retention', ARGV[7],
    'entries', ARGV[8])
end
return { epoch, tonumber(start_ms), tonumber(start_seq), tonumber(ms), tonumber(seq), now }
