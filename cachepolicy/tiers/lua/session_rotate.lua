-- Give a session another token; it goes after session.lua. Done twice with the same one, it is done once.
-- ARGV[3]  the other token's SHA-256
-- ARGV[4]  how long the one before is still good, in ms

read()
local done = session.s == ARGV[3] -- its reply was lost
if not done then
  if not find() or session.s ~= digest then -- one that was changed already changes nothing
    return false
  end
  redis.call('HSET', KEYS[1], 's', ARGV[3], 'o', digest, 'e', whole(now + ARGV[4]), 'r', whole(now))
  touch(0)
  flat = redis.call('HGETALL', KEYS[1])
end
return {1, now, tonumber(session.l), done and 0 or 1, 1, flat}
