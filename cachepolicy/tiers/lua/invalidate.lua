-- Put an end to an entry, and to every load of it that has begun. It goes after put.lua or quota.lua.
-- KEYS[1]  the entry
-- KEYS[2]  its lease
-- ARGV[1]  purge: nothing is left to serve; expire: it may still serve where there is nothing better
-- ARGV[2]  spare a value whose load began after this, in ms; empty: none is spared
-- ARGV[3]  how long the invalidation is remembered, in ms
-- ARGV[4]  the channel of changes
-- ARGV[5]  what to say there
-- ARGV[6]  four bytes at random: two invalidations in a millisecond, with a value between, are still two

local stored = redis.call('GETRANGE', KEYS[1], 0, 23)
local is_value = #stored == 24 and string.byte(stored, 3) ~= 0
local is_spared = is_value and ARGV[2] ~= '' and number(string.sub(stored, 17)) > tonumber(ARGV[2])
if not is_spared then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local last = number(redis.call('GETRANGE', KEYS[1], -8, -1))
  if last >= now and last < now + 1000 then
    now = last + 1 -- a load that saw the last one is to see that there was another
  end
  now = bytes(now)
  redis.call('DEL', KEYS[2])
  if is_value and ARGV[1] == 'expire' then
    redis.call('SETRANGE', KEYS[1], redis.call('STRLEN', KEYS[1]) - 8, now)
  else
    drop(KEYS[1])
    redis.call('SET', KEYS[1], '\202\012\000' .. string.rep('\000', 9) .. ARGV[6] .. now, 'PX', ARGV[3])
  end
end
redis.call('PUBLISH', ARGV[4], ARGV[5]) -- in any case: whoever misses its number would drop all it holds
return told(is_value and not is_spared and 1 or 0)
