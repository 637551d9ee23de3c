-- Give tags a new version: what carries an older one is out of date.
-- KEYS     of the versions
-- ARGV[1]  purge: nothing of it may serve; expire: it may where there is nothing better
-- ARGV[2]  how long versions are kept, in ms
-- ARGV[3]  the channel of changes
-- ARGV[4…] what to say there, for each

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for index, key in ipairs(KEYS) do
  local version = redis.call('GET', key)
  local purged, expired = now, now
  if version and #version == 16 then
    purged, expired = number(string.sub(version, 1, 8)), number(string.sub(version, 9))
    if ARGV[1] == 'purge' then
      purged = math.max(now, purged + 1)
    else
      expired = math.max(now, expired + 1)
    end
  end
  redis.call('SET', key, bytes(purged) .. bytes(expired), 'PX', ARGV[2])
  redis.call('PUBLISH', ARGV[3], ARGV[3 + index])
end
return #KEYS
