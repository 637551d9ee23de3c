-- Take a place among those that run at once; it goes after clock.lua and limits.lua.
-- KEYS[1]  the places of the subject: who has one, and until when
-- ARGV[1]  who asks
-- ARGV[2]  how many places there are
-- ARGV[3]  for how long one is held, in ms

local most, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local living = '(' .. whole(now)
local taken = redis.call('ZCOUNT', KEYS[1], living, '+inf')
local own = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if own > now then
  taken = taken - 1 -- its reply was lost: it has one place, however often it asks
end
if taken >= most then
  local next_end = redis.call('ZRANGEBYSCORE', KEYS[1], living, '+inf', 'WITHSCORES', 'LIMIT', taken - most, 1)
  return {0, now, taken, next_end[2] and tonumber(next_end[2]) - now or lease}
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
redis.call('ZADD', KEYS[1], whole(now + lease), ARGV[1])
if redis.call('PTTL', KEYS[1]) < lease then
  redis.call('PEXPIRE', KEYS[1], whole(lease + SLACK))
end
return {1, now, taken + 1, 0}
