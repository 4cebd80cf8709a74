#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed _standing _deliver _commit
-- The same for whoever holds the actor: it must be able to begin and end a turn, or a full server could never drain.
local refused, apply = prepared()
if refused then return refused end
apply()
return {1}
