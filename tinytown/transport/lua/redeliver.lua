#!lua
--@ include _clock _lanes _claimed _standing _deliver
-- Puts dead letters and quarantined messages back at the end of their lanes, as if they had just been accepted:
-- nothing is counted against them any more.
-- ARGV: inbox cap, town cap, journal length, who asks, then for each: 'dlq' or 'quarantine', id of the entry.
-- Returns for each: 1 done, 0 not there (any more), or a refusal (see _deliver); what is refused stays.
local caps = {inbox = tonumber(ARGV[1]), town = tonumber(ARGV[2])}
local now = now_ms()

local function fields_of(stream, id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if not entry then return nil end
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  return fields
end

local results, accepted, more = {}, {}, {}
for at = 5, #ARGV, 2 do
  local stream = ARGV[at] == 'dlq' and K_dlq or K_quarantine
  local letter = fields_of(stream, ARGV[at + 1])
  local refused = letter and refusal(letter.agent, caps, redis.call('SCARD', K_live) + #accepted, more[letter.agent] or 0)
  results[#results + 1] = refused or (letter and 1 or 0)
  if letter and not refused then
    redis.call('XDEL', stream, ARGV[at + 1])
    forget_counters(letter.key)
    more[letter.agent] = (more[letter.agent] or 0) + 1
    accepted[#accepted + 1] = {
      agent = letter.agent, lane = tonumber(letter.lane), id = letter.key, rings = true, raw = letter.raw,
    }
    redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[3], '*', 'type', 'dead_letter.retried', 'ms', now,
      'agent', letter.agent, 'message', letter.key, 'detail', 'by ' .. ARGV[4])
  end
end
deliver(accepted, {}, now)
return results
