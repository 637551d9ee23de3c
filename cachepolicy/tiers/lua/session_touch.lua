-- Say that a session was used; it goes after session.lua.

if not find() then
  return false
end
renew()
return {used, ends()}
