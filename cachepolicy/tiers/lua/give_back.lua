-- Give back what was charged for nothing.
-- KEYS[1]  the subject
-- ARGV[1]  when it was charged, in ms; 0: that is not known
-- ARGV[2…] each limit and how much

local made = tonumber(ARGV[1])
local subject = read(KEYS[1], now)
if #subject.names == 0 then
  return 0
end
for _, one in ipairs(take(subject, 2, (#ARGV - 1) / 2, AS_STORED)) do
  one.algorithm.give(subject, one.limit, one.figures, one.number, made, 0)
end
write(subject, now)
return 1
