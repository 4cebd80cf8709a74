#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed _standing _recover
-- Gives back what an actor does not know that it holds: the reply to its claim was lost on the way. It goes to the
-- heads of its lanes in its old order and is not counted, since nobody has seen it.
-- ARGV: actor, epoch, tags that it knows of... Returns how many went back, or -1 when fenced.
local actor = ARGV[1]
if fenced(actor, ARGV[2]) then return -1 end
local known, unknown = {}, {}
for at = 3, #ARGV do known[ARGV[at]] = true end
for _, tag in ipairs(redis.call('HKEYS', K_inflight(actor))) do
  if not known[tag] then
    redis.call('SREM', K_prompted(actor), tag)
    unknown[#unknown + 1] = tag
  end
end
return (recover_all(actor, unknown, now_ms(), {recoveries = 1, window = 0}))
