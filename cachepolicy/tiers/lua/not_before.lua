-- Revoke what a holder was given until a moment; it goes after clock.lua.
-- KEYS[1]  the holder's moment
-- ARGV[1]  the moment, in ms; empty: now
-- ARGV[2]  for how many ms a token of that moment lives at most

local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local moment = math.max(tonumber(ARGV[1]) or now, known)
local ends = math.max(moment, now) + tonumber(ARGV[2])
ends = math.max(ends, now + redis.call('PTTL', KEYS[1])) -- a policy that says less now never shortens
redis.call('SET', KEYS[1], string.format('%.0f', moment), 'PXAT', string.format('%.0f', ends))
return moment
