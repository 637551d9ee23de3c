-- Tell how much is kept; it goes after clock.lua and temp_kept.lua.

return string.format('%.0f', size_of('='))
