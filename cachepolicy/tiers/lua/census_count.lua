-- Count the sessions that live, and take those out that are over; it goes after clock.lua.
-- KEYS[1], KEYS[2]  as in census_tell.lua
-- ARGV[1]  for how long one stays that is over, in ms: others may be about to tell that it was used
-- ARGV[2]  how many are taken out at most
-- Returns how many live, and how long those lived that were taken out, in ms.

local past = string.format('%.0f', now - tonumber(ARGV[1]))
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', past, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local lived = {}
for at = 1, #over, 2 do
  local member = over[at]
  redis.call('ZREM', KEYS[1], member)
  local name = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. member, '(' .. member .. '~', 'LIMIT', 0, 1)[1]
  if name then
    redis.call('ZREM', KEYS[2], name)
    lived[#lived + 1] = math.max(0, tonumber(over[at + 1]) - tonumber(string.sub(name, -13)))
  end
end
return {redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf'), lived}
