-- End a session; it goes after session.lua.

if not find() then
  return false
end
redis.call('UNLINK', KEYS[1])
redis.call('HDEL', KEYS[2], id)
return made
