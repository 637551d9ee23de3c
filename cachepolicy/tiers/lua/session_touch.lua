-- Say that a session was used; it goes after session.lua.

if not find() then
  return false
end
touch(0)
return {tonumber(session.l), ends_at(tonumber(session.l))}
