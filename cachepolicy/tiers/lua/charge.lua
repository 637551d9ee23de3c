-- Charge a call to all limits of its subjects, or to none.
-- KEYS     for each subject: itself; its own amounts, where it may have some; the reservation, if there is one
-- ARGV[1]  for how long the caller would wait for its turn, in ms; -1: it only looks
-- ARGV[2]  for how long the reservation is remembered, in ms; 0: there is none
-- ARGV[3…] for each subject: how many limits, below 0 where it may have its own amounts; each limit and its cost

local most_wait, held = tonumber(ARGV[1]), tonumber(ARGV[2])
local key, at = 1, 3
local wait, is_possible, is_overridden = 0, true, false
local subjects, all = {}, {}

local function overrides_in(text)
  local found = {}
  for name, amount, size in string.gmatch(text or '', '(%S+) (%d+) (%d+)') do
    found[name] = {amount = tonumber(amount), size = tonumber(size)}
  end
  return found
end

while at <= #ARGV do
  local subject = read(KEYS[key], now)
  local count = tonumber(ARGV[at])
  local overrides
  key = key + 1
  if count < 0 then
    overrides, count, is_overridden = overrides_in(redis.call('GET', KEYS[key])), -count, true
    key = key + 1
  end
  if held > 0 then
    subject.reservation = KEYS[key]
    key = key + 1
  end
  subject.all = take(subject, at + 1, count, overrides)
  for _, one in ipairs(subject.all) do
    one.wait = one.algorithm.wait(subject, one.limit, one.figures, one.number)
    is_possible = is_possible and one.wait >= 0
    wait = math.max(wait, one.wait)
    all[#all + 1] = one
  end
  subjects[#subjects + 1] = subject
  at = at + 1 + 2 * count
end

local is_allowed = is_possible and wait <= math.max(0, most_wait)
local is_charged = is_allowed and most_wait >= 0
if is_charged then
  for _, subject in ipairs(subjects) do
    local costs = {whole(subject.now), whole(wait)}
    for _, one in ipairs(subject.all) do
      one.algorithm.add(subject, one.limit, one.figures, one.number, wait)
      costs[#costs + 1] = one.limit.name .. ':' .. whole(one.number)
    end
    write(subject, now)
    if subject.reservation then
      redis.call('SET', subject.reservation, table.concat(costs, ' '), 'PX', whole(held))
    end
  end
end

local reply = {is_allowed and 1 or 0, now, is_charged and wait or 0}
for _, one in ipairs(all) do
  reply[#reply + 1] = one.algorithm.left(one.subject, one.limit, one.figures)
  reply[#reply + 1] = one.wait
  reply[#reply + 1] = one.algorithm.reset(one.subject, one.limit, one.figures)
  if is_overridden then
    reply[#reply + 1] = one.limit.amount
  end
end
return reply
