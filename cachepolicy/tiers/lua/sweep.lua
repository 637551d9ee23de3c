-- Remove what is over; it goes after clock.lua.
-- KEYS[1]  the deadlines: key -> ms
-- KEYS[2]  who sweeps
-- ARGV[1]  who asks
-- ARGV[2]  for how many ms nobody else does
-- ARGV[3]  how many may go at once
-- Returns how many went, or -1 where another sweeps; for how many ms the first of them was over; how many deadlines
-- there are still.

local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return {-1, 0, 0}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for at = 1, #over, 2 do
  redis.call('UNLINK', over[at])
  redis.call('ZREM', KEYS[1], over[at])
end
return {#over / 2, over[2] and now - tonumber(over[2]) or 0, redis.call('ZCARD', KEYS[1])}
