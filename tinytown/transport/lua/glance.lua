#!lua flags=allow-oom
--@ include _fence
-- What may end a running turn: takes the control messages and counts the urgent ones.
-- ARGV: agent, epoch. Returns {1, control messages, urgent messages waiting} or {-1, {}, 0} when fenced.
local agent = ARGV[1]
if fenced(agent, ARGV[2]) then return {-1, {}, 0} end
local control = redis.call('LRANGE', K_control(agent), 0, -1)
if #control > 0 then redis.call('DEL', K_control(agent)) end
return {1, control, redis.call('LLEN', K_urgent(agent))}
