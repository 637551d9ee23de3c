-- Give a file's room back; it goes after clock.lua and temp_kept.lua.
-- ARGV[1]  the file

if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  forget({ARGV[1]})
  return 1
end
return 0
