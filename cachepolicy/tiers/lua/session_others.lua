-- End all sessions of a user but one; it goes after session.lua. However many there are, it takes as long.

if not find() then
  return 0
end
if entry then
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[2], id, entry)
  redis.call('PEXPIREAT', KEYS[2], whole(latest))
end
return 1
