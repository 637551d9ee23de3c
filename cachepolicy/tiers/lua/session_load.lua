-- Load a session and say that it was used; it goes after session.lua.
-- ARGV[3]  the share of its life without use from which on it is renewed; above 1: never

if not find() then
  return false
end
return told(touch(tonumber(ARGV[3])))
