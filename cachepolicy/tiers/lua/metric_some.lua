-- Read some fields of each of several hashes: one after the other, in their order.
-- KEYS  the hashes
-- ARGV  the fields

local values = {}
for _, key in ipairs(KEYS) do
  local read = redis.call('HMGET', key, unpack(ARGV))
  for at = 1, #ARGV do
    values[#values + 1] = read[at]
  end
end
return values
