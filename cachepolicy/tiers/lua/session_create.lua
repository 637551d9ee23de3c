-- Make a session; it goes after session.lua. Made twice, it is one.
-- ARGV[3]  how long it lives without use, in ms
-- ARGV[4]  how long it lives at most, in ms
-- ARGV[5]  how many its user may have; 0: it is anonymous
-- ARGV[6]  1: one more is refused; 0: the oldest ends
-- ARGV[7]  the device, as it is listed
-- ARGV[8…] what it holds: names and values

read()
if session.s == digest then -- its reply was lost
  return {1, tonumber(session.c), tonumber(session.l), ends_at(tonumber(session.l)), {}}
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
    return {0}
  end
  table.sort(living, function(one, other) return one[2] < other[2] end)
end

local created = string.format('%s%06d', time[1], time[2])
session.i, session.a, session.l = ARGV[3], whole(now + ARGV[4]), whole(now)
local ends = ends_at(now)
redis.call('HSET', KEYS[1], 's', digest, 'c', created, 'l', session.l, 'i', session.i, 'a', session.a,
  'r', session.l, 'v', '1')
for at = 8, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
redis.call('PEXPIREAT', KEYS[1], whole(ends))
if most == 0 then
  redis.call('HSET', KEYS[1], 'n', '1')
  return {1, tonumber(created), now, ends, {}}
end

local ended = {}
for at = 1, #living - most + 1 do
  ended[at] = living[at][1]
end
for _, one in ipairs(ended) do
  redis.call('HDEL', KEYS[2], one)
end
for _, one in ipairs(over) do
  redis.call('HDEL', KEYS[2], one)
end
redis.call('HSET', KEYS[2], id, created .. session.l .. whole(ends) .. ARGV[7])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[4]) then
  redis.call('PEXPIREAT', KEYS[2], session.a)
end
return {1, tonumber(created), now, ends, ended}
