#!lua flags=allow-oom
--@ include _clock _lanes _claimed _standing _recover
-- Finds what the bell did not tell: snoozed messages whose time has come, leases that have passed, messages that
-- somebody pushed by hand. And forgets the ids of messages that were accepted long ago.
-- ARGV: most recoveries, window (ms), most snoozed to wake, ms to remember ids, ids to remember, agents to look at...
-- Returns {snoozed messages woken, leases recovered, waiting of the first agent, of the second, ...}.
local limits = {recoveries = tonumber(ARGV[1]), window = tonumber(ARGV[2])}
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', K_snoozed, '-inf', now, 'LIMIT', 0, ARGV[3])
-- Backwards: each goes to the head of its lane, so the longest due ends up first.
for index = #due, 1, -1 do
  local agent, start = string.match(due[index], '^(%S+) %d+ ()')
  local lane, _, raw = unwrap(string.sub(due[index], start))
  redis.call('ZREM', K_snoozed, due[index])
  redis.call('LPUSH', lane_key(agent, lane), raw)
  redis.call('SADD', K_ready, agent)
  unstand({agent})
end
redis.call('ZREMRANGEBYSCORE', K_seen, '-inf', now - tonumber(ARGV[4]))
local over = redis.call('ZCARD', K_seen) - tonumber(ARGV[5])
if over > 0 then redis.call('ZREMRANGEBYRANK', K_seen, 0, over - 1) end
local out = {#due, 0}
for at = 6, #ARGV do
  local agent = ARGV[at]
  local expired = redis.call('ZRANGEBYSCORE', K_leases(agent), '-inf', now)
  if #expired > 0 then
    local back = recover_all(agent, expired, now, limits)
    out[2] = out[2] + back
  end
  out[#out + 1] = waiting(agent)
end
return out
