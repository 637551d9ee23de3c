-- Change what a user prefers, all of it or nothing; it goes after clock.lua.
-- KEYS[1]  the user's preferences, by path; ':version' beside them
-- ARGV[1]  the version that is to be there; empty: any
-- ARGV[2]  the most paths
-- ARGV[3]  the most bytes, of paths and values together
-- ARGV[4]  for how many ms they are kept; 0: for ever
-- ARGV[5]  'is': the first path changes only where ARGV[7] is there, '' for nothing; 'any'
-- ARGV[6]  how many paths are removed, with all below them
-- ARGV[7]  see there; then the paths to be removed; then paths and values by turns
-- Returns what became of it, and the version, or what is there instead.
-- 0: done; 1: another version; 2: another value; 3: too many paths; 4: too many bytes;
-- 5: a path would have a value and others below it

local reply = redis.call('HGETALL', KEYS[1])
local there, former, version = {}, {}, nil
local had_count, had_bytes = 0, 0
for at = 1, #reply, 2 do
  if reply[at] == ':version' then
    version = tonumber(reply[at + 1])
  else
    there[reply[at]], former[reply[at]] = reply[at + 1], true
    had_count, had_bytes = had_count + 1, had_bytes + #reply[at] + #reply[at + 1]
  end
end
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= (version or 0) then
  return {1, version or 0}
end
local removes = tonumber(ARGV[6])
local first = 8 + removes
if ARGV[5] == 'is' and (there[ARGV[first]] or '') ~= ARGV[7] then
  return {2, there[ARGV[first]] or ''}
end

-- Call with each path above one.
local function above(path, call)
  local dot = string.find(path, '.', 1, true)
  while dot do
    call(string.sub(path, 1, dot - 1))
    dot = string.find(path, '.', dot + 1, true)
  end
end

local gone = {}
for at = 8, first - 1 do
  gone[ARGV[at]] = true
end
for path in pairs(former) do
  local is_gone = gone[path]
  above(path, function(branch)
    is_gone = is_gone or gone[branch]
  end)
  if is_gone then
    there[path] = nil
  end
end

for at = first, #ARGV, 2 do
  there[ARGV[at]] = ARGV[at + 1]
end
local count, bytes, is_torn = 0, 0, false
for path, value in pairs(there) do
  count, bytes = count + 1, bytes + #path + #value
  above(path, function(branch)
    is_torn = is_torn or there[branch] ~= nil
  end)
end
if is_torn then
  return {5, 0}
elseif count > tonumber(ARGV[2]) and count > had_count then
  return {3, 0}
elseif bytes > tonumber(ARGV[3]) and bytes > had_bytes then
  return {4, 0}
end

local is_changed = #ARGV >= first
for path in pairs(former) do
  if not there[path] then
    is_changed = true
    redis.call('HDEL', KEYS[1], path)
  end
end
for at = first, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
if count == 0 then
  redis.call('UNLINK', KEYS[1])
  return {0, 0}
end
if is_changed then -- it begins with the time, in microseconds: no version ever comes back
  version = math.max((version or 0) + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', KEYS[1], ':version', string.format('%.0f', version))
end
if tonumber(ARGV[4]) > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
else
  redis.call('PERSIST', KEYS[1])
end
return {0, version}
