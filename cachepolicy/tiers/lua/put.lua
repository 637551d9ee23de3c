-- Write entries where nobody counts what they take; it goes before scripts that need it.

local function put(key, value, life)
  redis.call('SET', key, value, 'PX', life)
  return 1
end
local function drop() end
local function told(result)
  return result
end
