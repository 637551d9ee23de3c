-- Make a session; it goes after session.lua. Made twice, it is one.
-- ARGV[3]  how long it lives without use, in ms
-- ARGV[4]  how long it lives at most, in ms
-- ARGV[5]  how many its user may have; 0: it is anonymous
-- ARGV[6]  1: one more is refused; 0: the oldest ends
-- ARGV[7]  the device, as it is listed
-- ARGV[8…] what it holds: names and values

read()
if secret == digest then -- its reply was lost
  return {made, ends(), {}}
end

local most, living, over = tonumber(ARGV[5]), {}, {}
if most > 0 and redis.call('HLEN', KEYS[2]) >= most then
  local listed = redis.call('HGETALL', KEYS[2])
  for at = 1, #listed, 2 do
    if tonumber(string.sub(listed[at + 1], 30, 42)) > now then
      living[#living + 1] = {listed[at], string.sub(listed[at + 1], 1, 16)}
    else
      over[#over + 1] = listed[at]
    end
  end
  if #living >= most and ARGV[6] == '1' then
    return {}
  end
  table.sort(living, function(one, other) return one[2] < other[2] end)
end

made, used, renewed = now, now, now
idle, latest, is_anonymous = tonumber(ARGV[3]), now + tonumber(ARGV[4]), most == 0
redis.call('HSET', KEYS[1], 's', digest, 'h', header())
for at = 8, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
redis.call('PEXPIREAT', KEYS[1], whole(ends()))
if most == 0 then
  return {made, ends(), {}}
end

local ended = {}
for at = 1, #living - most + 1 do
  ended[at] = living[at][1]
  redis.call('HDEL', KEYS[2], ended[at])
end
for _, one in ipairs(over) do
  redis.call('HDEL', KEYS[2], one)
end
local at = string.format('%s%06d', time[1], time[2])
redis.call('HSET', KEYS[2], id, at .. whole(used) .. whole(ends()) .. ARGV[7])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[4]) then
  redis.call('PEXPIREAT', KEYS[2], whole(latest))
end
return {made, ends(), ended}
