#!lua
--@ include _clock _lanes _deliver
-- Accepts messages, each for itself.
-- ARGV: inbox cap, town cap, ms to remember ids, ids to remember, journal length, then for each message:
--   agent, lane, id, rings (1 or 0), from, type, bytes.
-- Returns for each: 1 accepted, 2 accepted before, or a refusal (see _deliver).
local caps = {inbox = tonumber(ARGV[1]), town = tonumber(ARGV[2])}
local now = now_ms()
local results, rung, told = {}, {}, {}
forget_old(now, tonumber(ARGV[3]), tonumber(ARGV[4]))
for at = 6, #ARGV, 7 do
  local agent, lane, id, rings = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3] == '1'
  local refused = refusal(agent, id, caps, 0, 0)
  results[#results + 1] = refused or 1
  if not refused then
    deliver(agent, lane, id, ARGV[at + 6], rings, now)
    redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[5], '*', 'type', 'message.sent', 'ms', now,
      'agent', agent, 'message', id, 'detail', ARGV[at + 5] .. ' from ' .. ARGV[at + 4])
    if rings and not told[agent] then
      told[agent] = true
      rung[#rung + 1] = agent
    end
  end
end
if #rung > 0 then redis.call('PUBLISH', K_bell, table.concat(rung, ' ')) end
return results
