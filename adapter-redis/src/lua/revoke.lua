-- Keeps a revocation. Of two of one kind the later moment and the later end stay.
-- KEYS: meta, the revocation. ARGV: epoch, tokens issued before this are revoked, until when it is kept (ms).
-- Answers OK.
local moment = ARGV[2]
local before = call('GET', KEYS[2])
if before and tonumber(before) > tonumber(moment) then
  moment = before
end
local life = math.max(tonumber(ARGV[3]) - now, call('PTTL', KEYS[2]))
if life > 0 then
  call('SET', KEYS[2], moment, 'PX', format('%d', life))
end
return 'OK'
