-- Keeps sessions alive, and notes up to where their clients have everything.
-- KEYS: meta. ARGV: epoch, prefix, life (ms), then for each: pid, generation, confirmed (or empty).
-- Answers, for those that need attention: its number (from 0) and FENCED, MISSING or WAITING (with what waits).
local attention = {}
for i = 4, #ARGV, 3 do
  local pid, number = ARGV[i], (i - 4) / 3
  local key = key_of(pid)
  local state = call('HMGET', key, 'gen', 'confirmed', 'waiting', 'ended', 'watch', 'epoch')
  if state[1] ~= ARGV[i + 1] then
    local missing = not state[1] and not state[4]
    if state[1] then
      is_fenced(pid, key, load(key), ARGV[i + 1])
    end
    attention[#attention + 1] = { number, missing and 'MISSING' or 'FENCED' }
  else
    local confirmed = ARGV[i + 2]
    if string.sub(confirmed, 1, 8) == epoch
      and (string.sub(state[2], 1, 8) ~= epoch or state[2] < confirmed) then
      call('HSET', key, 'confirmed', confirmed)
    end
    renew(pid, key, ARGV[3], state[5])
    if is_stale({ epoch = state[6] or nil }) then
      attention[#attention + 1] = { number, 'MISSING' }
    elseif (tonumber(state[3]) or 0) > 0 then
      local waiting = {}
      for field, value in pairs(load(key)) do
        if string.sub(field, 1, 2) == 'p:' then
          waiting[#waiting + 1] = field .. '\n' .. value
        end
      end
      table.sort(waiting)
      attention[#attention + 1] = { number, 'WAITING', waiting }
    end
  end
end
return attention
