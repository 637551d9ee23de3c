-- See whether series still have the numbers that they are known by; it goes before what counts.
-- KEYS[1]  the series, as in metric_intern.lua
-- ARGV[1]  the epoch
-- ARGV[2]  for how long the series are kept, in ms; 0: for ever
-- ARGV[3]  how many follow: first their spellings, then their numbers

local series = tonumber(ARGV[3])
local next_word = 4 + 2 * series

local function are_known()
  if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then
    return false
  end
  for from = 1, series, 1000 do
    local till = math.min(series, from + 999)
    local numbers = redis.call('HMGET', KEYS[1], unpack(ARGV, 3 + from, 3 + till))
    for at = 1, till - from + 1 do
      if numbers[at] ~= ARGV[2 + series + from + at] then
        return false
      end
    end
  end
  return true
end

local function word()
  next_word = next_word + 1
  return ARGV[next_word - 1]
end

local function keep(key, life)
  if life == '0' then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, life)
  end
end
