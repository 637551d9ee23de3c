-- Use the current refresh token of a family, which makes the next one current; it goes after clock.lua.
-- KEYS[1]  the family
-- KEYS[2]  the holder's moment
-- ARGV[1]  digest of what all tokens of the family share
-- ARGV[2]  digest of the token
-- ARGV[3]  digest of the next one
-- ARGV[4]  for how many ms a token lives at most
-- Returns what became of it, and the time. 0: nothing, 1: the next one is current, 2: it was spent before

local family = redis.call('HMGET', KEYS[1], 'shared', 'current', 'former', 'begun', 'turned', 'revoked')
local lives = tonumber(ARGV[4])
if family[1] ~= ARGV[1] or now >= (tonumber(family[5]) or 0) + lives then
  return {0, now} -- no family, none of its tokens, or all of them have expired
end
local is_repeated = family[2] == ARGV[3] and family[3] == ARGV[2] -- the reply was lost
if family[2] ~= ARGV[2] and not is_repeated then
  redis.call('HSET', KEYS[1], 'revoked', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return {2, now}
end
local moment = tonumber(redis.call('GET', KEYS[2]) or '-1') or now
if family[6] or (tonumber(family[4]) or 0) <= moment then
  return {0, now}
end
if not is_repeated then
  redis.call('HSET', KEYS[1], 'current', ARGV[3], 'former', ARGV[2], 'turned', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {1, now}
