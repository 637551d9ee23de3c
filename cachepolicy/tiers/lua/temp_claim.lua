-- Be the one who reads a file that can be read once. It goes after clock.lua. Said twice by one, it is done once.
-- KEYS[1]  the manifest
-- ARGV[1]  who asks
-- ARGV[2]  for how long it is kept for them, in ms
-- Returns 1, or 0: somebody else did, or it is not there to be read.

if redis.call('HGET', KEYS[1], 's') ~= 'r' then
  return 0
end
local holder = redis.call('HGET', KEYS[1], 'k')
if holder then
  return holder == ARGV[1] and 1 or 0
end
local life = math.min(redis.call('PTTL', KEYS[1]), tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'k', ARGV[1], 'x', string.format('%.0f', now + life))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(1, life)))
return 1
