-- Say for how long chunks are kept.
-- KEYS     of the chunks
-- ARGV[1]  for how long, in ms
-- ARGV[2]  exactly, at_least, at_most
-- Returns how many are there.

local life, there = tonumber(ARGV[1]), 0
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left ~= -2 then
    there = there + 1
    if ARGV[2] == 'exactly' or (ARGV[2] == 'at_least' and left < life) or (ARGV[2] == 'at_most' and left > life) then
      redis.call('PEXPIRE', key, ARGV[1])
    end
  end
end
return there
