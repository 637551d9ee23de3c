-- List the sessions of a user; it goes after clock.lua.
-- KEYS[1]  the sessions

return {now, redis.call('HGETALL', KEYS[1])}
