-- Never above the limit in any window. Figures are width:first:place=count,place=count…
--
-- A window is cut into parts of one width, and the oldest, which is in it no more than partly, counts in full.
-- A turn that was given ahead counts in the part that it falls in: nobody is let in before it. Places are told
-- from the first part; parts in which nothing was used are left out.
LOADERS.w = function()
  local window = {}

  local function parse_parts(text)
    local width, first, listed = string.match(text, '^(%d+):(%d+):(.*)$')
    local figures = {width = tonumber(width), parts = {}, counts = {}}
    first = tonumber(first)
    for place, count in string.gmatch(listed, '(%d+)=(%d+)') do
      figures.parts[#figures.parts + 1] = first + place
      figures.counts[#figures.counts + 1] = tonumber(count)
    end
    return figures
  end

  local function last_of(figures)
    return figures.parts[#figures.parts] or -1
  end

  -- Return what was used until a part was over.
  local function used_until(figures, part)
    local total = 0
    for place, count in ipairs(figures.counts) do
      if figures.parts[place] <= part then
        total = total + count
      end
    end
    return math.min(MOST, total)
  end

  -- Leave out what is before a part, and what is empty.
  local function prune(figures, oldest)
    local parts, counts = {}, {}
    for place, part in ipairs(figures.parts) do
      if part >= oldest and figures.counts[place] > 0 then
        parts[#parts + 1] = part
        counts[#counts + 1] = figures.counts[place]
      end
    end
    figures.parts, figures.counts = parts, counts
  end

  local function prune_by_time(figures, now, period)
    prune(figures, math.floor(now / figures.width) - ceil_div(period, figures.width))
  end

  -- Count something in a part that is not before the last one.
  local function count_in(figures, part, cost)
    local place = #figures.parts
    if figures.parts[place] ~= part then
      place = place + 1
    end
    figures.parts[place] = part
    figures.counts[place] = math.min(MOST, (figures.counts[place] or 0) + cost)
  end

  -- Cut what is counted anew; each count moves to where its part ended, so that none is dropped too early.
  local function recut(figures, width, now)
    local anew = {width = width, parts = {}, counts = {}}
    for place, part in ipairs(figures.parts) do
      local begin = part * figures.width
      local stop = begin + figures.width - 1
      if begin <= now then
        stop = math.min(stop, now)
      end
      count_in(anew, math.floor(stop / width), figures.counts[place])
    end
    return anew
  end

  function window.load(subject, limit, text)
    local known = not text and #subject.names > 0 and former(subject, limit)
    local width = ceil_div(limit.period, limit.size)
    limit.size = ceil_div(limit.period, width)
    local figures = {width = width, parts = {}, counts = {}}
    if text or known then
      figures = parse_parts(text or known.figures)
      prune_by_time(figures, subject.now, text and limit.period or known.period)
      if figures.width ~= width then
        figures = recut(figures, width, subject.now)
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
    local total = used_until(figures, part)
    for place, count in ipairs(figures.counts) do
      local left_at = figures.parts[place] + limit.size + 1 -- the first part whose windows do not hold this one
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

  function window.add(subject, _, figures, cost, wait)
    if cost > 0 then
      local part = math.floor((subject.now + wait) / figures.width)
      count_in(figures, math.max(part, last_of(figures)), cost)
    end
  end

  -- Give back from the part where it counts; where that is not known, from the oldest: none is dropped too early.
  function window.give(_, _, figures, cost, made, wait)
    local counted_in = math.floor((made + wait) / figures.width)
    for place, part in ipairs(figures.parts) do
      if made == 0 or part == counted_in then
        local given = math.min(figures.counts[place], cost)
        figures.counts[place], cost = figures.counts[place] - given, cost - given
      end
    end
    prune(figures, 0)
  end

  function window.left(subject, limit, figures)
    local present = math.floor(subject.now / figures.width)
    return last_of(figures) > present and 0 or math.max(0, limit.amount - used_until(figures, present))
  end

  function window.reset(subject, limit, figures)
    if #figures.parts == 0 then
      return 0
    end
    return (last_of(figures) + limit.size + 1) * figures.width - subject.now
  end

  function window.text(figures)
    local first = figures.parts[1] or 0
    local listed = {}
    for place, part in ipairs(figures.parts) do
      listed[place] = whole(part - first) .. '=' .. whole(figures.counts[place])
    end
    return whole(figures.width) .. ':' .. whole(first) .. ':' .. table.concat(listed, ',')
  end

  function window.age(subject, name, text)
    local _, period = window_of(name)
    local figures = parse_parts(text)
    prune_by_time(figures, subject.now, period)
    return window.text(figures), window.reset(subject, {size = ceil_div(period, figures.width)}, figures)
  end

  return window
end
