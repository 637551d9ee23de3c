-- A session, and whether it is that of a token; it goes after clock.lua and before scripts that need it.
-- KEYS[1]  the session: s: the token's SHA-256; o: that of the token before, then until when it is good;
--          h: when it was made, was used last, ends at the latest and got its token, each of 13 digits, then how
--          long it lives without use, all in ms, the last with a minus if it is anonymous; x: who logged in with it;
--          v: the name of the last change; .NAME each value that it holds, or b: all of them; w, p: who may do what
-- KEYS[2]  the sessions of its user: id -> when it was made (16 digits, in µs), was used and ends (13), the device.
--          One that is not in there is none: whoever takes it out has ended it
-- ARGV[1]  its id
-- ARGV[2]  the token's SHA-256

local id, digest = ARGV[1], ARGV[2]
local flat, secret, head, entry
local made, used, latest, renewed, idle, is_anonymous

local function whole(number)
  return string.format('%013.0f', number)
end

local function header()
  return whole(made) .. whole(used) .. whole(latest) .. whole(renewed)
    .. string.format('%.0f', is_anonymous and -idle or idle)
end

local function ends()
  return math.min(latest, used + idle)
end

local function read()
  flat = redis.call('HGETALL', KEYS[1])
  if flat[1] == 's' and flat[3] == 'h' then -- as they were written, while it is small
    secret, head = flat[2], flat[4]
  else
    for at = 1, #flat, 2 do
      if flat[at] == 's' then
        secret = flat[at + 1]
      elseif flat[at] == 'h' then
        head = flat[at + 1]
      end
    end
  end
  if head then
    made, used = tonumber(string.sub(head, 1, 13)), tonumber(string.sub(head, 14, 26))
    latest, renewed = tonumber(string.sub(head, 27, 39)), tonumber(string.sub(head, 40, 52))
    idle = tonumber(string.sub(head, 53))
    is_anonymous, idle = idle < 0, math.abs(idle)
  end
end

-- Tell whether the token is one of the session's.
local function is_holder()
  if secret == digest then
    return true
  end
  local before = secret and redis.call('HGET', KEYS[1], 'o')
  return before and string.sub(before, 1, 32) == digest and now < tonumber(string.sub(before, 33))
end

-- Find the session: it is there, the token's, and neither ended nor over.
local function find()
  if not flat then
    read()
  end
  if not is_holder() then
    return false
  end
  entry = not is_anonymous and redis.call('HGET', KEYS[2], id)
  if (entry or is_anonymous) and now < ends() then
    return true
  end
  redis.call('UNLINK', KEYS[1])
  redis.call('HDEL', KEYS[2], id)
  return false
end

local function renew()
  used = now
  head = header()
  redis.call('HSET', KEYS[1], 'h', head)
  redis.call('PEXPIREAT', KEYS[1], whole(ends()))
  if entry then
    redis.call('HSET', KEYS[2], id, string.sub(entry, 1, 16) .. whole(used) .. whole(ends()) .. string.sub(entry, 43))
  end
  return 1
end

-- Renew it when it was not used for that share of the time that it lives without use; tell whether it was.
local function touch(share)
  return now - used < share * idle and 0 or renew()
end

-- What is told of it: the time, whether it was renewed, whether the token is its newest, and all that it holds.
local function told(touched)
  return {now, touched, secret == digest and 1 or 0, head, flat}
end
