-- How much somebody keeps; it goes after clock.lua and before scripts that need it.
-- KEYS[1]  until when each file is kept, in ms
-- KEYS[2]  how large each file is, and all of them: '='
-- An account of which half was evicted begins anew.

if redis.call('EXISTS', KEYS[1]) ~= redis.call('EXISTS', KEYS[2]) then
  redis.call('UNLINK', KEYS[1], KEYS[2])
end

local function size_of(name)
  return tonumber(redis.call('HGET', KEYS[2], name) or '0')
end

local function forget(names)
  local sum = size_of('=')
  for _, name in ipairs(names) do
    sum = sum - size_of(name)
    redis.call('HDEL', KEYS[2], name)
    redis.call('ZREM', KEYS[1], name)
  end
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('UNLINK', KEYS[2])
    return
  end
  redis.call('HSET', KEYS[2], '=', string.format('%.0f', sum))
end

local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if #gone > 0 then
  forget(gone)
end
