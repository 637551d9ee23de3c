-- Write entries within a quota; it goes before scripts that need it, in the place of put.lua.
-- KEYS[#KEYS]   what each entry takes, in bytes, by its key, and under '' what all do. What it says of entries that
--               have gone by themselves, it says until they are looked at
-- ARGV[#ARGV-1] how much all of them may take
-- ARGV[#ARGV]   for how long, in ms, an entry can stay: this is kept for as long
-- What goes is the one that was used longest ago by the server's own clock, of a few that are looked at.

local sizes, most = KEYS[#KEYS], tonumber(ARGV[#ARGV - 1])
local LOOKED_AT, SHARE, TURNS = 20, 5, 256 -- a fifth of those that are looked at goes, so that not each write looks
local AROUND = 160 -- bytes that Redis needs for an entry and its place here, beside both keys and the value
local all = redis.call('HGET', sizes, '')
local is_new, evicted = not all, 0
all = tonumber(all) or 0

-- What Redis' allocator gives for so many bytes.
local function given(bytes)
  local step = 16
  while bytes > 8 * step do
    step = 2 * step
  end
  return math.ceil(bytes / step) * step
end

local function size_of(key, length)
  return AROUND + 2 * given(#key + 4) + given(length + 6)
end

local function count(key, size)
  all = all + size - (tonumber(redis.call('HGET', sizes, key)) or 0)
  if size == 0 then
    redis.call('HDEL', sizes, key)
  else
    redis.call('HSET', sizes, key, size)
  end
  redis.call('HSET', sizes, '', all)
end

-- Tell for how long an entry has not been used; nothing where it is gone. Looking does not count as using it.
local function unused(key)
  local idle = redis.pcall('OBJECT', 'IDLETIME', key)
  if type(idle) == 'table' then -- the server counts uses instead
    idle = redis.pcall('OBJECT', 'FREQ', key)
    if type(idle) == 'table' then -- or neither
      return redis.call('EXISTS', key) == 1 and 0 or nil
    end
    return idle and 255 - idle
  end
  return idle or nil
end

local function look()
  local found, there = redis.call('HRANDFIELD', sizes, LOOKED_AT), {}
  for _, key in ipairs(found) do
    if key ~= '' then
      local idle = unused(key)
      if idle then
        there[#there + 1] = {key, idle}
      else
        count(key, 0)
      end
    end
  end
  table.sort(there, function(one, other) return one[2] > other[2] end)
  return there, #found
end

-- Tell whether there is room for so many bytes, after others have gone for it.
local function has_room(needed)
  for _ = 1, TURNS do
    if all + needed <= most then
      return true
    end
    local there, found = look()
    if found < 2 and all > 0 and #there == 0 then -- nothing is left but the sum
      all = 0
    end
    if all + needed <= most then
      return true
    end
    local going = 0
    while going < #there / SHARE or (going < #there / 2 and all + needed > most) do
      going = going + 1
      local key = there[going][1]
      if string.byte(redis.call('GETRANGE', key, 2, 2)) ~= 0 then -- else an invalidation is remembered there
        redis.call('UNLINK', key)
        evicted = evicted + 1
      end
      count(key, 0)
    end
  end
  return all + needed <= most
end

local function put(key, value, life)
  local size, before = size_of(key, #value), redis.call('HGET', sizes, key)
  count(key, 0)
  if size > most or not has_room(size) then
    if before then
      redis.call('UNLINK', key)
    end
    return 2
  end
  redis.call('SET', key, value, 'PX', life)
  count(key, size)
  if redis.call('PTTL', sizes) < tonumber(ARGV[#ARGV]) then
    redis.call('PEXPIRE', sizes, ARGV[#ARGV])
  end
  return 1
end

local function drop(key)
  if not is_new then
    count(key, 0)
  end
end

local function told(result)
  return {result, evicted, is_new and 1 or 0}
end
