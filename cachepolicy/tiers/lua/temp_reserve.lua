-- Take room for a file, or change how much it has; it goes after clock.lua and temp_kept.lua.
-- ARGV[1]  the file
-- ARGV[2]  its size
-- ARGV[3]  how much may be kept; 0: however much
-- ARGV[4]  for how long, in ms
-- Returns 1, or 0: there is no room, and nothing has changed.

local size, most, life = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local before = size_of(ARGV[1])
local sum = size_of('=') - before + size
if most > 0 and size > before and sum > most then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2], '=', string.format('%.0f', sum))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[1])
local kept = string.format('%.0f', math.max(redis.call('PTTL', KEYS[1]), life + 1000))
redis.call('PEXPIRE', KEYS[1], kept)
redis.call('PEXPIRE', KEYS[2], kept)
return 1
