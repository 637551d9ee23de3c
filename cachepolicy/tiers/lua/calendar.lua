-- By UTC hour, day or month. Figures are number:used, of the hour, day or month since 1970.
LOADERS.c = function()
  local calendar = {}

  local LENGTHS = {h = 3600000, d = 86400000}

  -- Months of a calendar whose years begin in March: the day that some years have more is their last.
  local function month_of(day)
    day = day + 719468
    local era = math.floor(day / 146097)
    local of_era = day - era * 146097
    local year = math.floor(
      (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365
    )
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    return (year + era * 400) * 12 + math.floor((5 * of_year + 2) / 153) + 2 - 1970 * 12
  end

  local function first_day(month)
    local months = month + 1970 * 12 - 2
    local year = math.floor(months / 12)
    local of_year = math.floor((153 * (months - year * 12) + 2) / 5)
    local leaps = math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    return 365 * year + leaps + of_year - 719468
  end

  local function number_at(kind, moment)
    if kind == 'm' then
      return month_of(math.floor(moment / LENGTHS.d))
    end
    return math.floor(moment / LENGTHS[kind])
  end

  local function begin_of(kind, number)
    if kind == 'm' then
      return first_day(number) * LENGTHS.d
    end
    return number * LENGTHS[kind]
  end

  local function kind_of(name)
    return string.sub(name, -1)
  end

  function calendar.load(subject, limit, text)
    local number, count = string.match(text or '', '^(%d+):(%d+)$')
    local figures = {kind = kind_of(limit.name), number = tonumber(number), used = tonumber(count)}
    local present = number_at(figures.kind, subject.now)
    if not figures.number or figures.number < present then
      figures.number, figures.used = present, 0
    end
    return figures
  end

  function calendar.wait(subject, limit, figures, cost)
    if cost > limit.amount then
      return -1
    end
    local number = figures.number
    if figures.used + cost > limit.amount then
      number = number + 1
    elseif cost == 0 then
      return 0
    end
    local begin = begin_of(figures.kind, number)
    return math.max(0, begin - subject.now)
  end

  function calendar.add(subject, _, figures, cost, wait)
    local number = number_at(figures.kind, subject.now + wait)
    if cost > 0 and number > figures.number then
      figures.number, figures.used = number, 0
    end
    figures.used = math.min(MOST, figures.used + cost)
  end

  function calendar.give(subject, _, figures, cost, made, wait)
    if made == 0 or number_at(figures.kind, made + wait) == figures.number then
      figures.used = math.max(0, figures.used - cost)
    end
  end

  function calendar.left(subject, limit, figures)
    local is_ahead = begin_of(figures.kind, figures.number) > subject.now
    return is_ahead and 0 or math.max(0, limit.amount - figures.used)
  end

  function calendar.reset(subject, _, figures)
    return figures.used > 0 and begin_of(figures.kind, figures.number + 1) - subject.now or 0
  end

  function calendar.text(figures)
    return whole(figures.number) .. ':' .. whole(figures.used)
  end

  function calendar.age(subject, name, text)
    local figures = calendar.load(subject, {name = name}, text)
    return calendar.text(figures), calendar.reset(subject, nil, figures)
  end

  return calendar
end
