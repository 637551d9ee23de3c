-- Count entries that were there before anybody counted; it goes after quota.lua.
-- KEYS[1…]  of them, before the last

for at = 1, #KEYS - 1 do
  local key = KEYS[at]
  if redis.call('TYPE', key).ok == 'string' and not redis.call('HGET', sizes, key) then
    local kind = redis.call('GETRANGE', key, 0, 2)
    if string.sub(kind, 1, 2) == '\202\012' and string.byte(kind, 3) ~= 0 then -- a value, and nothing else
      count(key, size_of(key, redis.call('STRLEN', key)))
    end
  end
end
redis.call('PEXPIRE', sizes, ARGV[#ARGV])
has_room(0)
return told(0)
