#!lua flags=allow-oom
--@ include _clock _lanes _claimed _standing _recover
-- Places actors on a runtime: a new epoch for each, which fences whoever held it before, and what was claimed
-- under the old one goes back to its lanes.
-- ARGV: runtime, most recoveries, window (ms), actors...
-- Returns for each {1, epoch, recovered, quarantined}, or {0, runtime that holds it}.
local runtime = ARGV[1]
local limits = {recoveries = tonumber(ARGV[2]), window = tonumber(ARGV[3])}
local now = now_ms()
local results = {}
for at = 4, #ARGV do
  local actor = ARGV[at]
  local holder = redis.call('HGET', K_placed, actor)
  local lease = holder and redis.call('ZSCORE', K_runtimes, holder)
  if holder and holder ~= runtime and lease and tonumber(lease) > now then
    results[#results + 1] = {0, holder}
  else
    local epoch = redis.call('HINCRBY', K_epochs, actor, 1)
    redis.call('HSET', K_placed, actor, runtime)
    redis.call('SREM', K_unplaced, actor)
    unstand({actor})
    local back, gone = recover_all(actor, redis.call('HKEYS', K_inflight(actor)), now, limits)
    if waiting(actor) > 0 then redis.call('SADD', K_ready, actor) end
    results[#results + 1] = {1, epoch, back, gone}
  end
end
return results
