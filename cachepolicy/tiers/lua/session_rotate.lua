-- Give a session another token; it goes after session.lua. Done twice with the same one, it is done once.
-- ARGV[3]  the other token's SHA-256
-- ARGV[4]  how long the one before is still good, in ms

read()
if secret == ARGV[3] then -- its reply was lost
  digest = ARGV[3]
  return find() and told(0)
end
if not find() or secret ~= digest then -- one that was changed already changes nothing
  return false
end
redis.call('HSET', KEYS[1], 's', ARGV[3], 'o', digest .. whole(now + tonumber(ARGV[4])))
secret, digest, renewed = ARGV[3], ARGV[3], now
return told(renew())
