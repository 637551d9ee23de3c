-- Store a value, unless its load has been overtaken: by another's lease, an invalidation, or a newer value.
-- KEYS[1]  the entry
-- KEYS[2]  its lease
-- ARGV[1]  token of the lease that it was made under; empty: none
-- ARGV[2]  when its load began, in ms, on the clock of those who store values
-- ARGV[3]  the same on the server's clock
-- ARGV[4]  how long it may serve, in ms
-- ARGV[5]  how long an invalidation is remembered, in ms
-- ARGV[6]  the channel of changes
-- ARGV[7]  what to say there
-- ARGV[8]  the value
local function number(bytes)
  local result = 0
  for index = 1, #bytes do
    result = result * 256 + string.byte(bytes, index)
  end
  return result
end

local function is_overtaken()
  local holder = redis.call('GET', KEYS[2])
  if ARGV[1] ~= '' and holder then
    return holder ~= ARGV[1]
  end
  local began = tonumber(ARGV[3])
  if redis.call('TIME')[1] * 1000 - began > tonumber(ARGV[5]) then
    return true
  end
  local stored = redis.call('GETRANGE', KEYS[1], 0, 23)
  if #stored < 24 then
    return false
  end
  local at = number(string.sub(stored, 17))
  if string.byte(stored, 3) == 0 then
    return at >= began
  end
  return at >= tonumber(ARGV[2]) or number(redis.call('GETRANGE', KEYS[1], -8, -1)) >= began
end

local stored = 0
if not is_overtaken() then
  redis.call('SET', KEYS[1], ARGV[8], 'PX', ARGV[4])
  if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('DEL', KEYS[2])
  end
  stored = 1
end
redis.call('PUBLISH', ARGV[6], ARGV[7]) -- in any case: whoever misses its number would drop all it holds
return stored
