-- Make up for what Redis did not hear of: timestamps decide, so nothing newer is undone.
-- KEYS[1]  the entry
-- ARGV[1]  when the value was made, or the entry invalidated: ms since the epoch
-- ARGV[2]  where eight bytes of that time stand in a stored value, from 1
-- ARGV[3]  how long the value may serve, in ms; 0: the entry was invalidated
-- ARGV[4]  the value
local at, place, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = redis.call('GETRANGE', KEYS[1], place - 1, place + 6)
local created = -1
if #stored == 8 then
  created = struct.unpack('>I8', stored)
end
if ttl == 0 then
  if created <= at then
    return redis.call('UNLINK', KEYS[1])
  end
elseif created < at then
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ttl)
  return 1
end
return 0
