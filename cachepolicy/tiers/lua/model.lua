-- Keep what is known of a model: several processes tell of it, and none loses what another has told.
-- KEYS[1]  the model's facts
-- ARGV[1]  how it did last
-- ARGV[2]  when that was, in ms
-- ARGV[3]  how long it took to answer, in seconds; empty: it did not
-- ARGV[4]  how much that counts beside what is known, 0 to 1
-- ARGV[5]  how long the facts are kept, in ms
-- ARGV[6]  1: what was known is forgotten first

if ARGV[6] == '1' then
  redis.call('DEL', KEYS[1])
end
local known = redis.call('HMGET', KEYS[1], 'last_check', 'avg_response_time')
local last, average = tonumber(known[1] or '0'), tonumber(known[2] or '')
if ARGV[3] ~= '' then
  local took = tonumber(ARGV[3])
  average = average and average + tonumber(ARGV[4]) * (took - average) or took
  redis.call('HSET', KEYS[1], 'avg_response_time', string.format('%.6f', average))
end
if tonumber(ARGV[2]) >= last then
  redis.call('HSET', KEYS[1], 'status', ARGV[1])
  redis.call('HSET', KEYS[1], 'last_check', ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
