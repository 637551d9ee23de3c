-- Replace all that a session holds, unless somebody else has changed it; it goes after session.lua.
-- ARGV[3]  as in session_load.lua
-- ARGV[4]  the name of the change after which it was read; empty: of none
-- ARGV[5]  the name of this one
-- ARGV[6…] what it holds then: names and values

if not find() then
  return false
end
local held = {}
for at = 1, #flat, 2 do
  held[flat[at]] = flat[at + 1]
end
if held.v == ARGV[5] then -- its reply was lost
  return told(0)
end
if (held.v or '') ~= ARGV[4] then
  return {told(0)}
end
redis.call('HSET', KEYS[1], 'v', ARGV[5])
for at = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  held[ARGV[at]] = nil
end
for name in pairs(held) do
  if name == 'b' or string.byte(name) == 46 then -- a dot
    redis.call('HDEL', KEYS[1], name)
  end
end
local touched = touch(tonumber(ARGV[3]))
flat = redis.call('HGETALL', KEYS[1])
return told(touched)
