-- Begin a file; it goes after clock.lua. A word that comes late, when the upload goes on or has ended, does nothing.
-- KEYS[1]  its manifest
-- ARGV[1]  what is known of it
-- ARGV[2]  for how long it can be resumed, in ms
-- Returns the time.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 's', 'u', 'm', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return now
