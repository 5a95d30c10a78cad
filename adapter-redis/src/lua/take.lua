-- Takes from a budget that all nodes share, which fills again by so many a second and holds a second's worth.
-- KEYS: meta, budget. ARGV: epoch, tokens wanted, tokens a second.
-- Answers { tokens taken, ms until there is one more }.
local wanted, rate = tonumber(ARGV[2]), tonumber(ARGV[3])
local micros = time[1] * 1000000 + time[2]
local state = call('HMGET', KEYS[2], 'tokens', 'at')
local tokens = rate
if state[1] then
  -- a clock that was set back gives nothing, and one that was set forward no more than there is room for
  tokens = math.min(rate, tonumber(state[1]) + math.max(0, micros - tonumber(state[2])) * rate / 1000000)
end
local taken = math.min(wanted, math.floor(tokens))
tokens = tokens - taken
call('HSET', KEYS[2], 'tokens', format('%.6f', tokens), 'at', format('%d', micros))
-- a full one is as good as none
call('PEXPIRE', KEYS[2], 2000)
return { taken, math.ceil(math.max(0, 1 - tokens) * 1000 / rate) }
