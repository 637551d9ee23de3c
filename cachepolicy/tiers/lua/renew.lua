-- Keep a lease while the work goes on, and tell those who wait that it does.
-- KEYS[1]  the lease
-- ARGV[1]  token of its holder
-- ARGV[2]  how long it is given for, in ms
-- ARGV[3]  the channel of leases
-- ARGV[4]  what to say there
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
