#!lua flags=no-writes,allow-oom
--@ include _fence
-- What may end a running turn: shows the control messages and counts the urgent ones. Changes nothing.
-- ARGV: agent, epoch. Returns {1, control messages, urgent messages waiting} or {-1, {}, 0} when fenced.
local agent = ARGV[1]
if fenced(agent, ARGV[2]) then return {-1, {}, 0} end
local control = redis.call('LRANGE', K_control(agent), 0, -1)
return {1, control, redis.call('LLEN', K_urgent(agent))}
