-- Numbers as eight bytes, the largest part first, and back; it goes before scripts that need it.
local function number(bytes)
  local result = 0
  for index = 1, #bytes do
    result = result * 256 + string.byte(bytes, index)
  end
  return result
end
local function bytes(value)
  local parts = {}
  for index = 8, 1, -1 do
    parts[index] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(parts)
end
