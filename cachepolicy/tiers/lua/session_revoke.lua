-- End a session that is known by its id; tell whether it was there.
-- KEYS[1]  the session
-- KEYS[2]  the sessions of its user
-- ARGV[1]  its id

local listed = redis.call('HDEL', KEYS[2], ARGV[1])
local there = redis.call('UNLINK', KEYS[1])
return listed == 1 and there == 1 and 1 or 0
