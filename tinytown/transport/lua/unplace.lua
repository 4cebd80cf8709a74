#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed _standing _recover
-- A runtime lets go of an actor: what was claimed goes back uncounted, and the epoch rises, so that nothing sent
-- before can still arrive.
-- ARGV: actor, epoch, 1 when another runtime shall take it or 0 when it has ended. Returns 1, or -1 when fenced.
local actor = ARGV[1]
if fenced(actor, ARGV[2]) then return -1 end
give_back(actor, now_ms())
unstand({actor})
redis.call('HINCRBY', K_epochs, actor, 1)
redis.call('HDEL', K_placed, actor)
if ARGV[3] == '1' then
  redis.call('SADD', K_unplaced, actor)
  redis.call('PUBLISH', K_bell, actor)
end
return 1
