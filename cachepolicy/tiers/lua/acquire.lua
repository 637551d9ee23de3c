-- Become the one who computes an entry, unless somebody is, or it has changed since it was looked at.
-- KEYS[1]  the entry
-- KEYS[2]  its lease
-- ARGV[1]  token: who asks (16 characters), of what tags (8), and their versions when the load begins
-- ARGV[2]  how long the lease is given for, in ms
-- ARGV[3]  the stamp of what was seen under the key; empty: nothing was there
-- ARGV[4]  the holder that does not count: a token; '!': one who failed; '*': whoever it is, whatever was stored
-- Returns  what became of it, the server's time in ms, how long another's lease still runs in ms, the stamp.
local function is_outdated(holder)
  return #holder == #ARGV[1]
    and string.sub(holder, 17, 24) == string.sub(ARGV[1], 17, 24)
    and string.sub(holder, 25) < string.sub(ARGV[1], 25)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = redis.call('GETRANGE', KEYS[1], 16, 23) .. redis.call('GETRANGE', KEYS[1], -12, -1)
if ARGV[4] ~= '*' then
  if stamp ~= ARGV[3] then
    return {'changed', now, 0, stamp}
  end
  local holder = redis.call('GET', KEYS[2])
  if holder and holder ~= ARGV[1] and holder ~= ARGV[4] and not is_outdated(holder) then
    return {string.sub(holder, 1, 1) == '!' and 'cooling' or 'held', now, redis.call('PTTL', KEYS[2]), stamp}
  end
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'granted', now, 0, stamp}
