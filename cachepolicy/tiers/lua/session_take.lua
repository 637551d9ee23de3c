-- End a session for good and hand over what it holds to who logs in; it goes after session.lua.
-- ARGV[3]  the tag of that user: who was not answered may ask again, and nobody else
-- ARGV[4]  for how long, in ms

if not find() and redis.call('HGET', KEYS[1], 'x') ~= digest .. ARGV[3] then
  return false
end
redis.call('HDEL', KEYS[1], 's')
redis.call('HSET', KEYS[1], 'x', digest .. ARGV[3])
redis.call('HDEL', KEYS[2], id)
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return told(0)
