#!lua flags=allow-oom
--@ include _clock
-- Renews the lease of a runtime, and with it the placement of all it holds.
-- ARGV: runtime, lease (ms), 1 to begin or 0 to go on, what it is (JSON; with 1), runtimes known to be dead...
-- Returns {1, runtimes whose lease has passed...}, or {0} when this runtime has lost its own.
local runtime = ARGV[1]
local now = now_ms()
for at = 5, #ARGV do
  redis.call('ZREM', K_runtimes, ARGV[at])
  redis.call('DEL', K_runtime(ARGV[at]))
end
if ARGV[3] == '1' then
  redis.call('SET', K_runtime(runtime), ARGV[4])
else
  -- A lease that has passed while the server stood still is renewed: what counts is that nobody took it away.
  if not redis.call('ZSCORE', K_runtimes, runtime) then return {0} end
end
redis.call('ZADD', K_runtimes, now + tonumber(ARGV[2]), runtime)
local out = {1}
for _, passed in ipairs(redis.call('ZRANGEBYSCORE', K_runtimes, '-inf', now)) do
  redis.call('ZREM', K_runtimes, passed)
  redis.call('DEL', K_runtime(passed))
  out[#out + 1] = passed
end
return out
