-- Use that drains steadily, and may come in a burst. Figures are amount:debt:age.
--
-- Debt is what is used times the period, and each ms drains the amount from it: nothing is ever rounded. Age is
-- for how many ms there has been debt: what was used before that has drained, and cannot be given back.
LOADERS.g = function()
  local gcra = {}

  local function parse(text)
    local amount, debt, age = string.match(text, '^(%d+):(%d+):(%d+)$')
    return {amount = tonumber(amount), debt = tonumber(debt), age = tonumber(age)}
  end

  local function drain(figures, elapsed)
    if ceil_div(figures.debt, figures.amount) <= elapsed then
      figures.debt, figures.age = 0, 0
    else
      figures.debt, figures.age = figures.debt - elapsed * figures.amount, figures.age + elapsed
    end
  end

  function gcra.load(subject, limit, text)
    local known = not text and #subject.names > 0 and former(subject, limit)
    if not text and not known then
      return {amount = limit.amount, debt = 0, age = 0}
    end
    local figures = parse(text or known.figures)
    drain(figures, subject.elapsed)
    if known then
      figures.debt = scale(figures.debt, limit.period, known.period)
    end
    if known or figures.amount ~= limit.amount and not limit.is_stored then
      -- The rule has changed: what is used stays so, up to as much as may be. More would take too long to drain.
      figures.amount, figures.debt = limit.amount, math.min(figures.debt, limit.size * limit.period)
    end
    return figures
  end

  -- Return how long a cost has to wait, in ms; -1: forever.
  function gcra.wait(_, limit, figures, cost)
    if cost > limit.size then
      return -1
    end
    local over = cost * limit.period - (limit.size * limit.period - figures.debt)
    return over > 0 and ceil_div(math.min(MOST, over), limit.amount) or 0
  end

  function gcra.add(_, limit, figures, cost)
    figures.debt = math.min(MOST, figures.debt + math.min(MOST, cost * limit.period))
  end

  function gcra.give(subject, limit, figures, cost, made)
    if made == 0 or figures.age >= subject.now - made then
      figures.debt = math.max(0, figures.debt - math.min(MOST, cost * limit.period))
      figures.age = figures.debt > 0 and figures.age or 0
    end
  end

  function gcra.left(_, limit, figures)
    return math.max(0, floor_div(limit.size * limit.period - figures.debt, limit.period))
  end

  function gcra.reset(_, _, figures)
    return ceil_div(figures.debt, figures.amount)
  end

  function gcra.text(figures)
    return whole(figures.amount) .. ':' .. whole(figures.debt) .. ':' .. whole(figures.age)
  end

  function gcra.age(subject, _, text)
    local figures = parse(text)
    drain(figures, subject.elapsed)
    return gcra.text(figures), gcra.reset(subject, nil, figures)
  end

  return gcra
end
