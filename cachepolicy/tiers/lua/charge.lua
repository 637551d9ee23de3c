-- Charge all limits of one or more subjects, or none.
-- KEYS     of the subjects
-- ARGV[1]  how long the caller would wait for its turn, in ms; -1: it only looks
-- ARGV[2…] for each subject, how many limits; for each of them, the limit and the cost

local now = clock()
local most_wait = tonumber(ARGV[1])
local at, wait, never = 2, 0, false
local subjects, taken = {}, {}
for index, key in ipairs(KEYS) do
  local subject = read(key, now)
  subjects[index] = subject
  local count = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, count do
    local one = take(subject, ARGV[at])
    one.subject = subject
    one.cost = tonumber(ARGV[at + 1])
    at = at + 2
    one.wait = one.algorithm.wait(subject, one.limit, one.entry, one.cost)
    never = never or one.wait < 0
    wait = math.max(wait, one.wait)
    taken[#taken + 1] = one
  end
end
local allowed = not never and wait <= math.max(0, most_wait)
local charged = allowed and most_wait >= 0
if charged then
  for _, one in ipairs(taken) do
    one.algorithm.add(one.subject, one.limit, one.entry, one.cost, wait)
  end
  for _, subject in ipairs(subjects) do
    write(subject, now)
  end
end
local reply = {allowed and 1 or 0, now, charged and wait or 0}
for _, one in ipairs(taken) do
  reply[#reply + 1] = one.algorithm.left(one.subject, one.limit, one.entry)
  reply[#reply + 1] = one.wait
  reply[#reply + 1] = one.algorithm.reset(one.subject, one.limit, one.entry)
end
return reply
