-- The owner hears the session's rooms: fixes the position of the cut, and from now on leaves changes to the owner.
-- KEYS: meta. ARGV: epoch, prefix, pid, generation, changes that the owner knows of.
-- Answers FENCED, { 'AT', position } or { 'CHANGED', the session's fields }.
local key = key_of(ARGV[3])
local state = call('HMGET', key, 'gen', 'changes')
if state[1] ~= ARGV[4] then
  return 'FENCED'
end
if state[2] ~= ARGV[5] then
  return { 'CHANGED', flat(load(key)) }
end
call('HSET', key, 'state', 'live')
return { 'AT', head() }
