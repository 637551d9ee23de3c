-- Add up, once; it goes after metric_series.lua.
-- KEYS[2]  where it stands that this was done: how many sums were too large
-- KEYS[3…] hashes of numbers, by series and part
-- ARGV     for how long KEYS[2] is kept, in s; then for each group of series in an hour: for the month, the day
--          and the hour the place in KEYS (0: not kept any more) and for how long it is kept, in ms (0: for
--          ever); how many numbers there are; of each its field and what is added
-- Returns -1: the series are not known so, and nothing was done; else how many numbers were not added, since
-- sums of them would be too large.

local done = redis.call('GET', KEYS[2])
if done then
  return tonumber(done)
end
if not are_known() then
  return -1
end
local kept_for = word()
redis.call('SET', KEYS[2], '0', 'EX', kept_for)

local function negative(amount)
  return string.sub(amount, 1, 1) == '-' and string.sub(amount, 2) or '-' .. amount
end

local too_large = 0
while next_word <= #ARGV do
  local keys, lives = {}, {}
  for _ = 1, 3 do
    local place, life = tonumber(word()), word()
    if place > 0 then
      keys[#keys + 1], lives[#lives + 1] = KEYS[place], life
    end
  end
  local count = tonumber(word())
  for at = next_word, next_word + 2 * count - 1, 2 do
    local field, amount = ARGV[at], ARGV[at + 1]
    for place = 1, #keys do
      if type(redis.pcall('HINCRBY', keys[place], field, amount)) == 'table' then
        for undone = 1, place - 1 do
          redis.call('HINCRBY', keys[undone], field, negative(amount))
        end
        too_large = too_large + 1
        break
      end
    end
  end
  next_word = next_word + 2 * count
  for place = 1, #keys do
    keep(keys[place], lives[place])
  end
end
keep(KEYS[1], ARGV[2])
if too_large > 0 then
  redis.call('SET', KEYS[2], too_large, 'EX', kept_for)
end
return too_large
