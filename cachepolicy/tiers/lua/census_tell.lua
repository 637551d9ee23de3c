-- Take note of what happened to sessions; it goes after clock.lua. Told twice, it is noted once.
-- KEYS[1]  when each ends without use, in ms: member -> score
-- KEYS[2]  the same members, each with when it was made (13 digits of ms): all of a user's are a range
-- KEYS[3]  when members, and all of a user's, were ended: what is told late of before is not news
-- ARGV[1]  for how long all this is kept, in ms
-- ARGV[2]  for how long it is kept what was ended, in ms
-- ARGV[3…] of each event: what it is, the member, two more words, and how long ago it was, in ms
--          b: began: when it was made, when it ends     t: touched: when it ends
--          e: ended: when it was made, if that is known  a: all of a user were ended, but this one
-- Returns how long those lived that ended, in ms.

local lived = {}

-- Tell whether a session was ended, or its user's were since: a session ends once.
local function is_over(member, at)
  if #member > 12 and redis.call('ZSCORE', KEYS[3], member) then
    return true
  end
  local ended = redis.call('ZSCORE', KEYS[3], string.sub(member, 1, 12))
  return ended and at <= tonumber(ended)
end

local function named(member, most)
  return redis.call('ZRANGEBYLEX', KEYS[2], '[' .. member, '(' .. member .. '~', 'LIMIT', 0, most)
end

local function over(member, at, made)
  redis.call('ZREM', KEYS[1], member)
  local name = named(member, 1)[1]
  if name then
    redis.call('ZREM', KEYS[2], name)
    made = string.sub(name, -13)
  end
  if made and made ~= '' then
    lived[#lived + 1] = math.max(0, at - tonumber(made))
  end
end

local function tell(what, member, first, second, at)
  if what == 'b' then
    local made = tonumber(first)
    if not is_over(member, made) and tonumber(second) > now then
      redis.call('ZADD', KEYS[1], second, member)
      redis.call('ZADD', KEYS[2], 0, member .. string.format('%013.0f', made))
    end
  elseif what == 't' then
    if not is_over(member, at) and tonumber(first) > now then
      redis.call('ZADD', KEYS[1], first, member)
    end
  elseif what == 'e' then
    if not is_over(member, at) then
      over(member, at, first)
      redis.call('ZADD', KEYS[3], string.format('%.0f', at), member)
    end
  elseif not is_over(member, at) then
    redis.call('ZADD', KEYS[3], string.format('%.0f', at), member)
    for _, name in ipairs(named(member, 1000)) do
      local one = string.sub(name, 1, -14)
      if one ~= first and tonumber(string.sub(name, -13)) <= at then
        over(one, at)
      end
    end
  end
end

for at = 3, #ARGV, 5 do
  tell(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], now - tonumber(ARGV[at + 4]))
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[1])
end
return lived
