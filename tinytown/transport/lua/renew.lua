#!lua flags=allow-oom
--@ include _clock _fence
-- Renews the leases of claimed messages; 'prompted' = 1 also notes that they stand in a prompt now.
-- ARGV: agent, epoch, lease (ms), prompted, tags...
-- Returns how many are still held, or -1 when fenced.
local agent = ARGV[1]
if fenced(agent, ARGV[2]) then return -1 end
local deadline = now_ms() + tonumber(ARGV[3])
local held = 0
for at = 5, #ARGV do
  local tag = ARGV[at]
  if redis.call('HEXISTS', K_inflight(agent), tag) == 1 then
    redis.call('ZADD', K_leases(agent), deadline, tag)
    if ARGV[4] == '1' then redis.call('SADD', K_prompted(agent), tag) end
    held = held + 1
  end
end
return held
