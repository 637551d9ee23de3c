-- A session, and whether it is that of a token; it goes after clock.lua and before scripts that need it.
-- KEYS[1]  the session: s: the token's SHA-256; o: that of the token before, good until e; n: it is anonymous;
--          c: when it was made, in µs; l: when it was used last, i: how long it lives without use,
--          a: when it ends at the latest, r: when it got its token, in ms; x: the tag of who logged in with it;
--          v: a number that changes with what it holds: .NAME each, or all of it in b; w, p: who, and who may
-- KEYS[2]  the sessions of its user: id -> when it was made (16 digits), used (13) and ends (13), the device.
--          One that is not in there is none: whoever takes it out has ended it
-- ARGV[1]  its id
-- ARGV[2]  the token's SHA-256

local id, digest = ARGV[1], ARGV[2]
local flat, session, entry = {}, {}, false

local function whole(number)
  return string.format('%.0f', number)
end

local function read()
  flat = redis.call('HGETALL', KEYS[1])
  session = {}
  for at = 1, #flat, 2 do
    session[flat[at]] = flat[at + 1]
  end
end

-- Tell whether the token is one of the session's.
local function is_holder()
  return session.s == digest or (session.o == digest and now < tonumber(session.e))
end

local function ends_at(last)
  return math.min(tonumber(session.a), last + tonumber(session.i))
end

-- Find the session: it is there, the token's, and neither ended nor over.
local function find()
  read()
  if not is_holder() or session.x then
    return false
  end
  entry = redis.call('HGET', KEYS[2], id)
  if (entry or session.n) and now < ends_at(tonumber(session.l)) then
    return true
  end
  redis.call('UNLINK', KEYS[1])
  redis.call('HDEL', KEYS[2], id)
  return false
end

-- Renew it when it was not used for that share of the time that it lives without use; tell whether it was.
local function touch(share)
  local last = tonumber(session.l)
  if now - last < share * tonumber(session.i) then
    return 0
  end
  local ends = ends_at(now)
  redis.call('HSET', KEYS[1], 'l', whole(now))
  redis.call('PEXPIREAT', KEYS[1], whole(ends))
  if entry then
    local renewed = string.sub(entry, 1, 16) .. whole(now) .. whole(ends) .. string.sub(entry, 43)
    redis.call('HSET', KEYS[2], id, renewed)
  end
  session.l = whole(now)
  return 1
end

-- What is told of it: when it was used, whether that was written now, whether the token is its newest, and all.
local function told(touched)
  return {1, now, tonumber(session.l), touched, session.s == digest and 1 or 0, flat}
end
