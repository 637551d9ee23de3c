-- Never above the limit in any window. Figures are width:first:count,count,…
--
-- A window is cut into parts of one width, and the oldest, which is in it no more than partly, counts in full.
-- A turn that was given ahead counts in the part that it falls in: nobody is let in before it.
local window = {}
ALGORITHMS.w = window

local function parse_counts(text)
  local width, first, listed = string.match(text, '^(%d+):(%d+):(.*)$')
  local figures = {width = tonumber(width), first = tonumber(first), counts = {}}
  for count in string.gmatch(listed, '%d+') do
    figures.counts[#figures.counts + 1] = tonumber(count)
  end
  return figures
end

local function last_of(figures)
  return figures.first + #figures.counts - 1
end

local function used(figures)
  local total = 0
  for _, count in ipairs(figures.counts) do
    total = total + count
  end
  return math.min(MOST, total)
end

-- Leave out what no window that ends in a part, or later, holds; and what is empty.
local function prune(figures, part, held)
  local rest, first = {}, nil
  for place = math.max(1, part - held - figures.first + 1), #figures.counts do
    if first or figures.counts[place] > 0 then
      first = first or figures.first + place - 1
      rest[#rest + 1] = figures.counts[place]
    end
  end
  while rest[#rest] == 0 do
    rest[#rest] = nil
  end
  figures.first, figures.counts = first or 0, rest
end

-- Count something in a part that is not before the last one; those between are empty.
local function count_in(figures, part, cost, held)
  prune(figures, part, held)
  if #figures.counts == 0 then
    figures.first = part
  end
  for _ = last_of(figures) + 1, part do
    figures.counts[#figures.counts + 1] = 0
  end
  local place = part - figures.first + 1
  figures.counts[place] = math.min(MOST, figures.counts[place] + cost)
end

-- Cut what is counted anew; each count moves to where its part ended, so that none is dropped too early.
local function recut(figures, width, now, held)
  local anew = {width = width, first = 0, counts = {}}
  for place, count in ipairs(figures.counts) do
    local begin = (figures.first + place - 1) * figures.width
    local stop = begin + figures.width - 1
    if begin <= now then
      stop = math.min(stop, now)
    end
    if count > 0 then
      count_in(anew, math.floor(stop / width), count, held)
    end
  end
  return anew
end

local function prune_by_time(figures, now, period)
  local present = math.floor(now / figures.width)
  prune(figures, math.max(present, last_of(figures)), ceil_div(period, figures.width))
end

function window.load(subject, limit, text)
  local known = not text and #subject.names > 0 and former(subject, limit)
  local width = ceil_div(limit.period, limit.size)
  limit.size = ceil_div(limit.period, width)
  local figures = {width = width, first = 0, counts = {}}
  if text or known then
    figures = parse_counts(text or known.figures)
    prune_by_time(figures, subject.now, text and limit.period or known.period)
    if figures.width ~= width then
      figures = recut(figures, width, subject.now, limit.size)
    end
    prune_by_time(figures, subject.now, limit.period)
  end
  return figures
end

function window.wait(subject, limit, figures, cost)
  if cost > limit.amount then
    return -1
  end
  local present = math.floor(subject.now / figures.width)
  local part = cost > 0 and math.max(present, last_of(figures)) or present
  local total = used(figures)
  for place, count in ipairs(figures.counts) do
    local left_at = figures.first + place + limit.size -- the first part whose windows do not hold this one
    if left_at > part then
      if total + cost <= limit.amount then
        break
      end
      part = left_at
    end
    total = total - count
  end
  return part > present and part * figures.width - subject.now or 0
end

function window.add(subject, limit, figures, cost, wait)
  if cost > 0 then
    local part = math.floor((subject.now + wait) / figures.width)
    count_in(figures, #figures.counts > 0 and math.max(part, last_of(figures)) or part, cost, limit.size)
  end
end

-- Give back from the part where it counts; where that is not known, from the oldest: none is dropped too early.
function window.give(_, _, figures, cost, made, wait)
  local part = math.floor((made + wait) / figures.width)
  for place, count in ipairs(figures.counts) do
    if made == 0 or figures.first + place - 1 == part then
      local given = math.min(count, cost)
      figures.counts[place], cost = count - given, cost - given
    end
  end
  prune(figures, 0, 0)
end

function window.left(subject, limit, figures)
  local is_ahead = last_of(figures) > math.floor(subject.now / figures.width)
  return is_ahead and 0 or math.max(0, limit.amount - used(figures))
end

function window.reset(subject, limit, figures)
  if #figures.counts == 0 then
    return 0
  end
  return (last_of(figures) + limit.size + 1) * figures.width - subject.now
end

function window.text(figures)
  local counts = {}
  for place, count in ipairs(figures.counts) do
    counts[place] = whole(count)
  end
  return whole(figures.width) .. ':' .. whole(figures.first) .. ':' .. table.concat(counts, ',')
end

function window.age(subject, name, text)
  local _, period = window_of(name)
  local figures = parse_counts(text)
  prune_by_time(figures, subject.now, period)
  return window.text(figures), window.reset(subject, {size = ceil_div(period, figures.width)}, figures)
end
