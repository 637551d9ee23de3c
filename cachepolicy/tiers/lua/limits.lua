-- What a subject has used, and how time takes it away; it goes before scripts that need it.
--
-- All of a subject is one string: the moment that it tells of, in ms, then the name and figures of each limit:
--   1755000000123 gr60:10:420000:0 wt60:3000:585000000:7,0,12 crm:24300:99
-- The first letter of a name is its algorithm's, the rest says what is counted in which window: a limit that
-- is counted otherwise is another one. Figures are whole numbers, below 2^53 wherever they are reckoned with.

local MOST = 9007199254740991
local SLACK = 1000 -- ms that a subject is kept after nothing of it is used any more
local LOADERS, ALGORITHMS = {}, {}

-- Return the algorithm of a limit; its functions are made when it is first asked for: each takes a while.
local function algorithm_of(name)
  local letter = string.sub(name, 1, 1)
  if not ALGORITHMS[letter] and LOADERS[letter] then
    ALGORITHMS[letter] = LOADERS[letter]()
  end
  return ALGORITHMS[letter]
end

-- Exact where a / b is not: the quotient of large numbers is rounded.
local function floor_div(a, b)
  return (a - math.fmod(a, b)) / b
end

local function ceil_div(a, b)
  local rest = math.fmod(a, b)
  return (a - rest) / b + (rest > 0 and 1 or 0)
end

-- Return a * b / c, rounded up; b and c below 2^44.
local function scale(a, b, c)
  local result, rest = 0, 0
  for digit = 6, 0, -1 do
    rest = rest * 256 + math.floor(a / 256 ^ digit) % 256 * b
    result = result * 256 + floor_div(rest, c)
    rest = math.fmod(rest, c)
  end
  return math.min(MOST, result + (rest > 0 and 1 or 0))
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Read a subject. Where the clock was set back, its time stands still until the clock has caught up.
local function read(key, now)
  local subject = {key = key, now = now, elapsed = 0, names = {}, figures = {}, taken = {}}
  local stored = redis.call('GET', key)
  if stored then
    local last = tonumber(string.match(stored, '^%d+')) or now
    subject.now = math.max(now, last)
    subject.elapsed = subject.now - last
    for name, figures in string.gmatch(stored, ' ([^: ]+):(%S+)') do
      subject.names[#subject.names + 1] = name
      subject.figures[name] = figures
    end
  end
  return subject
end

-- Return a name without its window, and the window in ms.
local function window_of(name)
  local counted, window, fine = string.match(name, '^(%D+)(%d+)(m?)$')
  return counted, window and tonumber(window) * (fine == 'm' and 1 or 1000)
end

-- Find what a rule counted in another window until it was changed: the one nearest to a limit's.
local function former(subject, limit)
  local counted = window_of(limit.name)
  local found, nearest
  for _, name in ipairs(subject.names) do
    local other, period = window_of(name)
    if other == counted and not subject.asked[name] then
      local ratio = math.max(period / limit.period, limit.period / period)
      if not nearest or ratio < nearest then
        found, nearest = {figures = subject.figures[name], period = period}, ratio
      end
    end
  end
  return found
end

-- Take up limits of a subject; each is two arguments, itself and a number.
-- overrides: the amounts that the subject has of its own; AS_STORED: all stays as it is counted
local AS_STORED = {}
local function take(subject, first, count, overrides)
  local taken = {}
  subject.asked = {}
  for index = 1, count do
    local name, amount, period, size =
      string.match(ARGV[first + index * 2 - 2], '^(%S+) (%d+) (%d+) (%d+)$')
    local limit =
      {name = name, amount = tonumber(amount), period = tonumber(period), size = tonumber(size)}
    subject.asked[name] = true
    taken[index] = {
      limit = limit,
      subject = subject,
      algorithm = algorithm_of(name),
      number = tonumber(ARGV[first + index * 2 - 1]),
    }
  end
  for _, one in ipairs(taken) do
    local name = one.limit.name
    local limit, other = one.limit, overrides and overrides[name]
    if other then
      limit.amount, limit.size = other.amount, other.size > 0 and other.size or limit.size
    end
    limit.is_stored = overrides == AS_STORED
    one.figures = one.algorithm.load(subject, limit, subject.figures[name])
    if not subject.figures[name] then
      subject.names[#subject.names + 1] = name
      subject.figures[name] = ''
    end
    subject.taken[name] = one
  end
  return taken
end

-- Write a subject. Limits that are not of this call stay, as time has left them.
local function write(subject, now)
  local texts = {whole(subject.now)}
  local need = 0
  for _, name in ipairs(subject.names) do
    local one = subject.taken[name]
    local text, reset = subject.figures[name], 0
    if one then
      text, reset = one.algorithm.text(one.figures), one.algorithm.reset(subject, one.limit, one.figures)
    else
      local algorithm = algorithm_of(name)
      if algorithm then
        text, reset = algorithm.age(subject, name, text)
      end
    end
    need = math.max(need, reset)
    if one or reset > 0 or #subject.names < 16 then
      texts[#texts + 1] = name .. ':' .. text
    end
  end
  local ttl = need + subject.now - now + SLACK
  redis.call('SET', subject.key, table.concat(texts, ' '), 'PX', whole(ttl))
end
