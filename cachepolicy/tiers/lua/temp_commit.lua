-- End an upload: from now on the file can be read. It goes after clock.lua. Said twice, it is done once.
-- KEYS[1]  the manifest
-- KEYS     the chunks in its slot, all of which must be there
-- ARGV[1]  what is known of the file
-- ARGV[2]  for how long it is kept, in ms
-- ARGV[3]  for how much longer its chunks are
-- Returns 1 and when it expires; 0: a chunk is missing; -1: there is no upload.

local state = redis.call('HGET', KEYS[1], 's')
if not state then
  return {-1, 0}
end
if state == 'r' then
  return {1, tonumber(redis.call('HGET', KEYS[1], 'x'))}
end
local life = string.format('%.0f', ARGV[2] + ARGV[3])
for index = 2, #KEYS do
  if redis.call('PEXPIRE', KEYS[index], life) == 0 then
    return {0, 0}
  end
end
local expires = now + ARGV[2]
redis.call('HSET', KEYS[1], 's', 'r', 'm', ARGV[1], 'x', string.format('%.0f', expires))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, expires}
