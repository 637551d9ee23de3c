-- Note what gauges showed; it goes after metric_series.lua. Told twice, it is noted once.
-- KEYS[2…] hashes of at:value:low:high, by series
-- ARGV     for each hash: for how long it is kept, in ms (0: for ever), how many gauges there are; of each its
--          field, when it showed its last value, that, the lowest and the highest
-- Returns -1: the series are not known so, and nothing was done; else 0.

if not are_known() then
  return -1
end

local function show(key, field, at, value, low, high)
  local shown = redis.call('HGET', key, field)
  if shown then
    local at_before, value_before, low_before, high_before = string.match(shown, '^(.-):(.-):(.-):(.-)$')
    if tonumber(at_before) > tonumber(at) then
      at, value = at_before, value_before
    end
    if tonumber(low_before) < tonumber(low) then
      low = low_before
    end
    if tonumber(high_before) > tonumber(high) then
      high = high_before
    end
  end
  redis.call('HSET', key, field, at .. ':' .. value .. ':' .. low .. ':' .. high)
end

for place = 2, #KEYS do
  local life, count = word(), tonumber(word())
  for at = next_word, next_word + 5 * count - 1, 5 do
    show(KEYS[place], unpack(ARGV, at, at + 4))
  end
  next_word = next_word + 5 * count
  keep(KEYS[place], life)
end
keep(KEYS[1], ARGV[2])
return 0
