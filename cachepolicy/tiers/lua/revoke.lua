-- Remember that a token is revoked until it has expired by itself; it goes after clock.lua.
-- KEYS[1]  the token
-- ARGV[1]  when it expires, in ms; 0 where it does not say
-- ARGV[2]  for how many ms it is remembered at least; 0 where it is known when it expires
-- ARGV[3]  by how many ms clocks may differ

local least = tonumber(ARGV[2])
local ends = math.max(tonumber(ARGV[1]), least > 0 and now + least or 0) + tonumber(ARGV[3])
if ends <= now then
  return 0
end
local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if known >= ends then
  return known -- revoking again never shortens
end
local text = string.format('%.0f', ends)
redis.call('SET', KEYS[1], text, 'PXAT', text)
return ends
