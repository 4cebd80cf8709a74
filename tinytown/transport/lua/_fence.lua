-- Whether `epoch` is no longer the actor's: its caller has lost it and may change nothing.
-- An empty epoch is that of a caller who does not act for an actor.
local function fenced(actor, epoch)
  return epoch ~= '' and redis.call('HGET', K_epochs, actor) ~= epoch
end
