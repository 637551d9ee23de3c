-- Begin a family of refresh tokens; it goes after clock.lua.
-- KEYS[1]  the family
-- ARGV[1]  digest of what all its tokens share
-- ARGV[2]  digest of its first token
-- ARGV[3]  for how many ms a token lives at most

local moment = string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'shared', ARGV[1], 'current', ARGV[2], 'begun', moment, 'turned', moment)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return now
