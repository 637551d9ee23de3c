-- Note what was seen; it goes after metric_series.lua. Told twice, it is noted once.
-- KEYS[2…] sets of what was seen, by day and series
-- ARGV     for each set: for how long it is kept, in ms (0: for ever), how much there is, and what
-- Returns -1: the series are not known so, and nothing was done; else 0.

if not are_known() then
  return -1
end
for place = 2, #KEYS do
  local life, count = word(), tonumber(word())
  for from = next_word, next_word + count - 1, 1000 do
    redis.call('PFADD', KEYS[place], unpack(ARGV, from, math.min(next_word + count - 1, from + 999)))
  end
  next_word = next_word + count
  keep(KEYS[place], life)
end
keep(KEYS[1], ARGV[2])
return 0
