-- Keep an upload that goes on.
-- KEYS[1]  the manifest
-- ARGV[1]  for how long it can be resumed, in ms
-- Returns the state: u, r; nothing where there is none.

local state = redis.call('HGET', KEYS[1], 's')
if state == 'u' and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return state
