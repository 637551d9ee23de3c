-- Store a value, unless its load has been overtaken: by another's lease, an invalidation, or a newer value.
-- It goes after put.lua or quota.lua.
-- KEYS[1]  the entry
-- KEYS[2]  its lease
-- ARGV[1]  token of the lease that it was made under; empty: none
-- ARGV[2]  the stamp of what was under the key when the lease was given
-- ARGV[3]  when its load began, in ms, on the clock of those who store values
-- ARGV[4]  the same on the server's clock
-- ARGV[5]  how long it may serve, in ms
-- ARGV[6]  how long an invalidation is remembered, in ms
-- ARGV[7]  the channel of changes
-- ARGV[8]  what to say there
-- ARGV[9]  the value

local holder = redis.call('GET', KEYS[2])
local is_leased = ARGV[1] ~= ''
local is_held = is_leased and holder == ARGV[1]

local function is_overtaken()
  if is_leased and holder and not is_held then
    return true
  end
  local began = tonumber(ARGV[4])
  if not is_held and redis.call('TIME')[1] * 1000 - began > tonumber(ARGV[6]) then
    return true -- an invalidation would be forgotten by now
  end
  local stored = redis.call('GETRANGE', KEYS[1], 0, 23)
  local tail = redis.call('GETRANGE', KEYS[1], -12, -1)
  if is_leased and string.sub(stored, 17) .. tail == ARGV[2] then
    return false -- nothing has happened under the key: no clock is asked
  end
  if is_leased and not is_held then
    return true
  end
  if #stored < 24 then
    return false
  end
  local ended = number(string.sub(tail, 5))
  if ended ~= 0 and (is_leased or ended >= began) then
    return true
  end
  return string.byte(stored, 3) ~= 0 and number(string.sub(stored, 17)) >= tonumber(ARGV[3])
end

local stored = 0
if redis.call('GETRANGE', KEYS[1], -12, -1) == string.sub(ARGV[9], -12) then
  stored = 1 -- as before: its reply was lost
elseif not is_overtaken() then
  stored = put(KEYS[1], ARGV[9], ARGV[5])
end
if is_held then
  redis.call('DEL', KEYS[2])
end
redis.call('PUBLISH', ARGV[7], ARGV[8]) -- in any case: whoever misses its number would drop all it holds
return told(stored)
