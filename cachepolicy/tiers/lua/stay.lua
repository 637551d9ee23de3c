-- Keep a place; it goes after clock.lua and limits.lua.
-- KEYS[1]  the places of the subject
-- ARGV[1]  whose place
-- ARGV[2]  for how long, in ms

local lease = tonumber(ARGV[2])
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0') <= now then
  return 0 -- it has run out, and may be another's
end
redis.call('ZADD', KEYS[1], whole(now + lease), ARGV[1])
if redis.call('PTTL', KEYS[1]) < lease then
  redis.call('PEXPIRE', KEYS[1], whole(lease + SLACK))
end
return 1
