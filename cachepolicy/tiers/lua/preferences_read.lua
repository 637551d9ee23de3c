-- Read what a user prefers, and keep it longer, where that is not kept for ever.
-- KEYS[1]  the user's preferences
-- ARGV[1]  for how many ms they are kept

if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) * 0.9 then -- most reads write nothing
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return redis.call('HGETALL', KEYS[1])
