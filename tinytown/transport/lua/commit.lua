#!lua
--@ include _clock _fence _lanes _claimed _standing _deliver _commit
-- A change that somebody asks for; a server without memory refuses it. Returns {1}, or what refuses it.
local refused, apply = prepared()
if refused then return refused end
apply()
return {1}
