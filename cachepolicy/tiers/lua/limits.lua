-- What a subject has used; it goes before scripts that need it.
--
-- All of a subject is one string: the moment it is told of, in ms, then for each limit its name and figures:
--   1755000000123 gr60:10:420000:0 gr3600:100:7200000:1500
-- gcra: amount, debt, age. Debt is what is used times the period; each ms drains the amount from it, so all of
-- it is whole numbers. Age is for how many ms there has been debt.

local MOST = 9007199254740991

local function floor_div(a, b)
  return (a - math.fmod(a, b)) / b
end

local function ceil_div(a, b)
  local rest = math.fmod(a, b)
  return (a - rest) / b + (rest > 0 and 1 or 0)
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Read a subject: a clock that was set back stands still until it has caught up.
local function read(key, now)
  local stored = redis.call('GET', key)
  local subject = {key = key, now = now, elapsed = 0, names = {}, figures = {}, entries = {}, need = 0}
  if stored then
    local last = tonumber(string.match(stored, '^%d+') or now)
    subject.now = math.max(now, last)
    subject.elapsed = subject.now - last
    for name, figures in string.gmatch(stored, ' ([^: ]+):(%S+)') do
      subject.names[#subject.names + 1] = name
      subject.figures[name] = figures
    end
  end
  return subject
end

local function limit_of(text)
  local name, amount, period, size = string.match(text, '^(%S+) (%d+) (%d+) (%d+)')
  return {
    name = name,
    amount = tonumber(amount),
    period = tonumber(period),
    size = tonumber(size),
  }
end

local gcra = {}

function gcra.parse(figures)
  local amount, debt, age = string.match(figures, '^(%d+):(%d+):(%d+)$')
  return {amount = tonumber(amount), debt = tonumber(debt), age = tonumber(age)}
end

-- Let time drain a debt.
function gcra.drain(entry, elapsed)
  local needed = ceil_div(entry.debt, entry.amount)
  if needed <= elapsed then
    entry.debt, entry.age = 0, 0
  else
    entry.debt, entry.age = entry.debt - elapsed * entry.amount, entry.age + elapsed
  end
end

function gcra.load(subject, limit)
  local figures = subject.figures[limit.name]
  local entry = {amount = limit.amount, debt = 0, age = 0}
  if figures then
    entry = gcra.parse(figures)
    gcra.drain(entry, subject.elapsed)
    if entry.amount ~= limit.amount then -- the rule has changed: what is used stays so, up to all of it
      entry.amount, entry.debt = limit.amount, math.min(entry.debt, limit.size * limit.period)
    end
  end
  return entry
end

-- Tell how long a cost would have to wait; -1: forever.
function gcra.wait(_, limit, entry, cost)
  if cost > limit.size then
    return -1
  end
  local over = cost * limit.period - (limit.size * limit.period - entry.debt)
  return over > 0 and ceil_div(over, limit.amount) or 0
end

function gcra.add(_, limit, entry, cost)
  entry.debt = math.max(0, math.min(MOST, entry.debt + cost * limit.period))
end

function gcra.left(_, limit, entry)
  return math.max(0, floor_div(limit.size * limit.period - entry.debt, limit.period))
end

function gcra.reset(_, limit, entry)
  return ceil_div(entry.debt, limit.amount)
end

function gcra.text(entry)
  return string.format('%.0f:%.0f:%.0f', entry.amount, entry.debt, entry.age)
end

local ALGORITHMS = {g = gcra}

local function algorithm_of(name)
  return ALGORITHMS[string.sub(name, 1, 1)]
end

-- Write a subject; limits that are none of this call's stay, as time has left them.
local function write(subject, now)
  local texts = {string.format('%.0f', subject.now)}
  local need = 0
  for _, name in ipairs(subject.names) do
    local known = subject.entries[name]
    if not known and string.sub(name, 1, 1) == 'g' then
      local entry = gcra.parse(subject.figures[name])
      gcra.drain(entry, subject.elapsed)
      need = math.max(need, ceil_div(entry.debt, entry.amount))
      subject.figures[name] = gcra.text(entry)
    elseif known then
      need = math.max(need, known.algorithm.reset(subject, known.limit, known.entry))
      subject.figures[name] = known.algorithm.text(known.entry)
    end
    texts[#texts + 1] = name .. ':' .. subject.figures[name]
  end
  local ttl = need + subject.now - now + 1000
  redis.call('SET', subject.key, table.concat(texts, ' '), 'PX', string.format('%.0f', ttl))
end

-- Take up a limit of a subject.
local function take(subject, text)
  local limit = limit_of(text)
  local algorithm = algorithm_of(limit.name)
  local entry = algorithm.load(subject, limit)
  if not subject.figures[limit.name] then
    subject.names[#subject.names + 1] = limit.name
    subject.figures[limit.name] = ''
  end
  local taken = {limit = limit, algorithm = algorithm, entry = entry}
  subject.entries[limit.name] = taken
  return taken
end
