#!lua flags=allow-oom
--@ include _clock
-- Drops dead letters and quarantined messages for good.
-- ARGV: journal length, who asks, then for each: 'dlq' or 'quarantine', id of the entry, agent, counter key.
-- Returns for each: 1 done, 0 not there (any more).
local now = now_ms()
local results = {}
for at = 3, #ARGV, 4 do
  local stream = ARGV[at] == 'dlq' and K_dlq or K_quarantine
  local done = redis.call('XDEL', stream, ARGV[at + 1])
  results[#results + 1] = done
  if done == 1 then
    redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[1], '*', 'type', 'dead_letter.dropped', 'ms', now,
      'agent', ARGV[at + 2], 'message', ARGV[at + 3], 'detail', 'by ' .. ARGV[2])
  end
end
return results
