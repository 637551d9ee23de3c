-- Do without the TTLs of Redis, which some policies of eviction go by: it goes before any other script, and gives it
-- a `redis` of its own. Deadlines stand in a set instead, which is swept now and then; here, what is over is gone
-- before the script looks, so that none of it is ever seen.
-- KEYS[#KEYS]  the deadlines: key -> ms; the script itself does not see this one

local deadlines = table.remove(KEYS)
local redis = redis -- luacheck: ignore
do
  local server, clock = redis, redis.call('TIME')
  local moment = clock[1] * 1000 + math.floor(clock[2] / 1000)

  local function forget(...)
    server.call('ZREM', deadlines, ...)
    return server.call('UNLINK', ...)
  end

  local function ends(key, at)
    if at <= moment then
      return forget(key)
    end
    server.call('ZADD', deadlines, string.format('%.0f', at), key)
    return server.call('PERSIST', key) -- it has a TTL where it was written before it was protected
  end

  local own = {UNLINK = forget, DEL = forget}

  function own.TIME()
    return clock
  end

  function own.PEXPIREAT(key, at)
    if server.call('EXISTS', key) == 0 then
      return 0
    end
    ends(key, tonumber(at))
    return 1
  end

  function own.PEXPIRE(key, life)
    return own.PEXPIREAT(key, moment + tonumber(life))
  end

  function own.PERSIST(key)
    return server.call('ZREM', deadlines, key) + server.call('PERSIST', key)
  end

  function own.PTTL(key)
    local at = server.call('ZSCORE', deadlines, key)
    return at and server.call('EXISTS', key) == 1 and tonumber(at) - moment or server.call('PTTL', key)
  end

  function own.SET(key, value, unit, number)
    local done = server.call('SET', key, value)
    if unit == 'PX' then
      ends(key, moment + tonumber(number))
    elseif unit == 'PXAT' then
      ends(key, tonumber(number))
    else
      server.call('ZREM', deadlines, key)
    end
    return done
  end

  for _, key in ipairs(KEYS) do
    local at = server.call('ZSCORE', deadlines, key)
    if at and (tonumber(at) <= moment or server.call('EXISTS', key) == 0) then
      forget(key)
    end
  end

  redis = setmetatable({
    call = function(name, ...)
      local instead = own[name]
      if instead then
        return instead(...)
      end
      return server.call(name, ...)
    end,
  }, {__index = server})
end
