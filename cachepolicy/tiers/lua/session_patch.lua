-- Change what a session holds, name by name; it goes after session.lua.
-- ARGV[3]  as in session_load.lua
-- ARGV[4]  the most bytes that it may hold
-- ARGV[5]  the name of this change
-- ARGV[6]  how many names get a value
-- ARGV[7…] those names and their values, then the names that are removed

if not find() then
  return false
end
local kept, last = {}, 6 + 2 * tonumber(ARGV[6])
for at = 1, #flat, 2 do
  kept[flat[at]] = flat[at + 1]
end
if kept.b and string.byte(ARGV[7] or '') == 46 then -- a dot
  return 2 -- all that it holds is one value
end
for at = 7, last, 2 do
  kept[ARGV[at]] = ARGV[at + 1]
end
for at = last + 1, #ARGV do
  kept[ARGV[at]] = nil
end
local size = 0
for name, value in pairs(kept) do
  if string.byte(name) == 46 then
    size = size + #name - 1 + #value
  end
end
if size > tonumber(ARGV[4]) then
  return 3
end

redis.call('HSET', KEYS[1], 'v', ARGV[5])
for at = 7, last, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
for at = last + 1, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[at])
end
local touched = touch(tonumber(ARGV[3]))
flat = redis.call('HGETALL', KEYS[1])
return told(touched)
