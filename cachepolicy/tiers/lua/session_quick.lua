-- Load a session as it nearly always is: small, its newest token, used a moment ago. It goes before session.lua.

local flat = redis.call('HGETALL', KEYS[1])
if flat[1] == 's' and flat[2] == ARGV[2] and flat[3] == 'h' and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
  local head = flat[4]
  local unused, idle = now - string.sub(head, 14, 26), string.sub(head, 53)
  if unused < math.min(1, ARGV[3]) * idle and now < string.sub(head, 27, 39) + 0 then
    return {now, 0, 1, head, flat}
  end
end
flat = nil
