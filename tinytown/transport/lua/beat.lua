#!lua flags=allow-oom
--@ include _clock
-- Renews the lease of a runtime, and with it the placement of all it holds.
-- ARGV: runtime, lease (ms), 1 to begin or 0 to go on, what it is (JSON; with 1), runtimes known to be dead...
-- Returns {1, runtimes whose lease has passed...}, or {0} when this runtime has lost its own.
-- What a dead runtime held waits for another one from the same moment on: whoever noticed may die as well.
local runtime = ARGV[1]
local now = now_ms()
local dead, out = {}, {1}

local function bury(name)
  redis.call('ZREM', K_runtimes, name)
  redis.call('DEL', K_runtime(name))
  dead[name] = true
end

for at = 5, #ARGV do bury(ARGV[at]) end
if ARGV[3] == '1' then
  redis.call('SET', K_runtime(runtime), ARGV[4])
else
  -- A lease that has passed while the server stood still is renewed: what counts is that nobody took it away.
  if not redis.call('ZSCORE', K_runtimes, runtime) then return {0} end
end
redis.call('ZADD', K_runtimes, now + tonumber(ARGV[2]), runtime)
for _, passed in ipairs(redis.call('ZRANGEBYSCORE', K_runtimes, '-inf', now)) do
  bury(passed)
  out[#out + 1] = passed
end
if next(dead) then
  local placed = redis.call('HGETALL', K_placed)
  for at = 1, #placed, 2 do
    if dead[placed[at + 1]] then redis.call('SADD', K_unplaced, placed[at]) end
  end
end
return out
