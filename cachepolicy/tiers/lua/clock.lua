-- The time in ms; it goes before scripts that need it. It is asked once: on some servers it goes on meanwhile.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
