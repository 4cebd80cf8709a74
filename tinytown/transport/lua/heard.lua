#!lua flags=allow-oom
--@ include _fence
-- The actor has the first so many of its control messages: only now they go.
-- ARGV: agent, epoch, how many. Returns 1, or -1 when fenced.
if fenced(ARGV[1], ARGV[2]) then return -1 end
redis.call('LTRIM', K_control(ARGV[1]), ARGV[3], -1)
return 1
