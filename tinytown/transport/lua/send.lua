#!lua
--@ include _clock _lanes _claimed _standing _deliver
-- Accepts messages, each for itself.
-- ARGV: inbox cap, town cap, journal length, then for each message:
--   agent, lane, id, rings (1 or 0), from, type, bytes.
-- Returns for each: 1 accepted, 2 accepted before, or a refusal (see _deliver).
-- What can be done for all messages at once is: a command costs more than its work.
local caps = {inbox = tonumber(ARGV[1]), town = tonumber(ARGV[2])}
local now = now_ms()
local ids = {}
for at = 6, #ARGV, 7 do ids[#ids + 1] = ARGV[at] end
local before = seen_before(ids)
local town = redis.call('SCARD', K_live)
local results, accepted, given, more = {}, {}, {}, {}
for place, id in ipairs(ids) do
  local at = 7 * place - 3
  local agent = ARGV[at]
  local refused = (before[place] or given[id]) and 2 or refusal(agent, caps, town, more[agent] or 0)
  results[place] = refused or 1
  if not refused then
    given[id] = true
    town, more[agent] = town + 1, (more[agent] or 0) + 1
    accepted[#accepted + 1] = {
      agent = agent, lane = tonumber(ARGV[at + 1]), id = id, rings = ARGV[at + 3] == '1', raw = ARGV[at + 6],
    }
    redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[3], '*', 'type', 'message.sent', 'ms', now,
      'agent', agent, 'message', id, 'detail', ARGV[at + 5] .. ' from ' .. ARGV[at + 4])
  end
end
deliver(accepted, {}, now)
return results
