-- Put what a call has used in the place of what was reserved for it, once.
-- KEYS[1]  the subject
-- KEYS[2]  the reservation
-- ARGV     each limit and what was used

local reserved = redis.call('GET', KEYS[2])
if not reserved then
  return 0
end
redis.call('DEL', KEYS[2])
local subject = read(KEYS[1], now)
local made, wait = string.match(reserved, '^(%d+) (%d+)')
made, wait = tonumber(made), tonumber(wait)
local costs = {}
for name, cost in string.gmatch(reserved, ' ([^: ]+):(%d+)') do
  costs[name] = tonumber(cost)
end
for _, one in ipairs(take(subject, 1, #ARGV / 2, AS_STORED)) do
  local more = one.number - (costs[one.limit.name] or 0)
  if more > 0 then
    one.algorithm.add(subject, one.limit, one.figures, more, 0)
  elseif more < 0 then
    one.algorithm.give(subject, one.limit, one.figures, -more, made, wait)
  end
end
write(subject, now)
return 1
