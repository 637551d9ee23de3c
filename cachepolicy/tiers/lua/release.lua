-- End a lease without a value; where the work failed, nobody tries again for a while.
-- KEYS[1]  the lease
-- ARGV[1]  token of its holder
-- ARGV[2]  for how long, in ms; 0: the next may try at once
-- ARGV[3]  the channel of leases
-- ARGV[4]  what to say there
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], '!', 'PX', ARGV[2])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
