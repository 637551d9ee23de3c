-- Read the versions of tags; one that is not known begins now, so that nothing older counts as current.
-- KEYS     of the versions
-- ARGV[1]  how long they are kept, in ms; renewed when half of it is over

local found = {}
for index, key in ipairs(KEYS) do
  local version = redis.call('GET', key)
  if not version or #version ~= 16 then
    local time = redis.call('TIME')
    local now = bytes(time[1] * 1000000 + time[2])
    version = now .. now
    redis.call('SET', key, version, 'PX', ARGV[1])
  elseif redis.call('PTTL', key) * 2 < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', key, ARGV[1])
  end
  found[index] = version
end
return found
