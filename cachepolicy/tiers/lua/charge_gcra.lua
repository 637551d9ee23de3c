-- The common call, in a straight line: one subject, all of whose limits are gcra, as the rule says them and as
-- they stood before.
-- What it cannot answer it leaves, with nothing done, to charge.lua, which answers all else, and is slower.
-- Arguments are those of charge.lua.

local function common() -- of whatever is here it returns the reply; nil: it is not for this
  local match, fmod, number = string.match, math.fmod, tonumber
  local count, most_wait = number(ARGV[3]), number(ARGV[1])
  if #ARGV ~= 3 + 2 * count or string.byte(ARGV[4] or '') ~= 103 then -- g
    return nil
  end
  local stored = redis.call('GET', KEYS[1])
  local last, at = now, 1
  if stored then
    last, at = match(stored, '^(%d+)()')
    last = number(last)
    if not last then
      return nil
    end
  end
  local moment = last > now and last or now
  local elapsed = moment - last
  local wait, all = 0, {}
  for index = 1, count do
    local name, amount, period, size = match(ARGV[2 + 2 * index], '^(g%S+) (%d+) (%d+) (%d+)$')
    local debt, age = 0, 0
    if stored then
      local known, as
      known, as, debt, age, at = match(stored, '^ ([^: ]+):(%d+):(%d+):(%d+)()', at)
      if known ~= name or as ~= amount then
        return nil
      end
      debt, age = number(debt), number(age)
    end
    local cost = number(ARGV[3 + 2 * index])
    if not name or cost > number(size) then
      return nil
    end
    local rate = number(amount)
    period = number(period)
    local drained = elapsed * rate
    if drained < debt then
      debt, age = debt - drained, age + elapsed
    else
      debt, age = 0, 0
    end
    local more = cost * period
    local room = size * period - debt
    local over, own_wait = more - room, 0
    if over > 0 then
      local rest = fmod(over, rate)
      own_wait = (over - rest) / rate + (rest > 0 and 1 or 0)
      wait = own_wait > wait and own_wait or wait
      if debt + more > 4503599627370496 then
        return nil
      end
    end
    all[index] = {name, amount, rate, period, room, more, debt, age, own_wait}
  end
  if stored and at <= #stored then
    return nil
  end

  local is_allowed = wait == 0 or wait <= most_wait
  local is_charged = is_allowed and most_wait >= 0
  local reply = {is_allowed and 1 or 0, now, is_charged and wait or 0}
  local need, text = 0, string.format('%.0f', moment)
  for index = 1, count do
    local name, amount, rate, period, room, more, debt, age, own_wait = unpack(all[index])
    if is_charged then
      debt, room = debt + more, room - more
      text = text .. string.format(' %s:%s:%.0f:%.0f', name, amount, debt, age)
    end
    local rest = fmod(debt, rate)
    local reset = (debt - rest) / rate + (rest > 0 and 1 or 0)
    need = reset > need and reset or need
    reply[index * 3 + 1] = room > 0 and (room - fmod(room, period)) / period or 0
    reply[index * 3 + 2] = own_wait
    reply[index * 3 + 3] = reset
  end
  if is_charged then
    redis.call('SET', KEYS[1], text, 'PX', string.format('%.0f', need + moment - now + 1000))
    if ARGV[2] ~= '0' then
      local costs = string.format('%.0f %.0f', moment, wait)
      for index = 1, count do
        costs = costs .. ' ' .. all[index][1] .. ':' .. ARGV[3 + 2 * index]
      end
      redis.call('SET', KEYS[2], costs, 'PX', ARGV[2])
    end
  end
  return reply
end

local reply = common()
if reply then
  return reply
end
