-- An actor that waits with nothing in its hands stands ready: whoever accepts a message for it hands it over at once,
-- under a lease, instead of ringing for the actor to come and take it.
-- It is written down for an actor as long as nothing was put into its mailbox past its hands: as
-- '<runtime> <lease (ms)> <most messages> <most bytes>' while it stands, as '' while its hands are full.
-- So whoever puts anything there, or tells it anything, must call `unstand`: nothing may overtake that.

local function unstand(actors)
  if #actors > 0 then redis.call('HDEL', K_standing, unpack(actors)) end
end

-- `words` are in turn an actor and how it stands.
local function stand(words)
  if #words > 0 then redis.call('HSET', K_standing, unpack(words)) end
end
