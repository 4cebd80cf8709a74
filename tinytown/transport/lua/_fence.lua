-- Whether `epoch` is no longer the actor's, whose epoch is `current`: then its caller has lost it and may change
-- nothing. An empty epoch is that of a caller who does not act for an actor.
local function outdated(epoch, current)
  return epoch ~= '' and epoch ~= current
end

local function fenced(actor, epoch)
  return outdated(epoch, redis.call('HGET', K_epochs, actor))
end
