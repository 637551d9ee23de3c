-- Give series their numbers, as long as there are not too many of them.
-- KEYS[1]  the series: their spellings (s…) -> numbers; e: the epoch of the numbers; n: how many; x: refusals
-- ARGV[1]  the epoch, if there is none yet
-- ARGV[2]  how many there may be
-- ARGV[3…] spellings
-- Returns the epoch, and a number for each: 0 where it would be one too many.

local head = redis.call('HMGET', KEYS[1], 'e', 'n')
local epoch, count, most = head[1], tonumber(head[2] or 0), tonumber(ARGV[2])
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', epoch, 'n', 0)
end
local numbers, before, refused = {epoch}, count, 0
for at = 3, #ARGV do
  local number = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  if number == 0 and count < most then
    count = count + 1
    number = count
    redis.call('HSET', KEYS[1], ARGV[at], number)
  elseif number == 0 then
    refused = refused + 1
  end
  numbers[#numbers + 1] = number
end
if count > before then
  redis.call('HSET', KEYS[1], 'n', count)
end
if refused > 0 then
  redis.call('HINCRBY', KEYS[1], 'x', refused)
end
return numbers
