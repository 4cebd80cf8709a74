#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed _standing _deliver _commit
-- A change together with all messages of one mailbox: they go to another one or are done with, or nothing happens.
-- What is in another one's mailbox keeps its lane, its order, its id and what was counted for it; what waits for a
-- time goes on waiting. Messages that a turn holds count as lying at the heads of their lanes.
-- ARGV: those of _commit, then: agent, to ('' for nobody), 1 to take from a running turn, what the mailbox must
--   hold (SHA-1), and a digit for each message in the order of the mailbox: 1 goes to the other one, 0 is done with.
-- Returns as commit, and {0, 'mailbox'} when it holds something else, {-5} when a turn holds messages of it.
local refused, apply = prepared()
if refused then return refused end
local from, to, by_force, expected, fates = take(), take(), take() == '1', take(), take()
local tags = redis.call('HKEYS', K_inflight(from))
if #tags > 0 and not by_force then return {-5} end

local found, parts = {}, {}
local function note(lane, raw, score, place)
  found[#found + 1] = {lane = lane, raw = raw, score = score, place = place}
  parts[#parts + 1] = string.format('%d %d ', lane, #raw)
  parts[#parts + 1] = raw
end

table.sort(tags, function(a, b) return tonumber(a) < tonumber(b) end)
local held = {{}, {}, {}, {}}
for _, tag in ipairs(tags) do
  local lane, _, raw = unwrap(redis.call('HGET', K_inflight(from), tag))
  held[lane][#held[lane] + 1] = raw
end
for lane = 1, LANES do
  for _, raw in ipairs(held[lane]) do note(lane, raw) end
  for _, raw in ipairs(redis.call('LRANGE', lane_key(from, lane), 0, -1)) do note(lane, raw) end
end
local snoozed = redis.call('ZRANGE', K_snoozed, 0, -1, 'WITHSCORES')
for at_member = 1, #snoozed, 2 do
  local owner, place, start = string.match(snoozed[at_member], '^(%S+)( %d+ )()')
  if owner == from then
    local lane, _, raw = unwrap(string.sub(snoozed[at_member], start))
    note(lane, raw, snoozed[at_member + 1], place)
  end
end
if #found ~= #fates or redis.sha1hex(table.concat(parts)) ~= expected then return {0, 'mailbox'} end

local moved = select(2, string.gsub(fates, '1', ''))
if moved > 0 then
  if redis.call('EXISTS', K_agent(to)) == 0 then return {-3, to} end
  if waiting(to) + moved > tonumber(ARGV[1]) then return {-1, to} end
end

-- Before the rest: what the change writes may delete the mailbox.
for lane = 1, LANES do redis.call('DEL', lane_key(from, lane)) end
redis.call('DEL', K_inflight(from), K_leases(from), K_prompted(from))
redis.call('SREM', K_ready, from)
for place, message in ipairs(found) do
  local counter = counter_key(message.raw)
  if message.score then
    redis.call('ZREM', K_snoozed, from .. message.place .. wrap(message.lane, counter, message.raw))
  end
  if string.sub(fates, place, place) == '0' then
    forget_counters(counter)
  else
    -- Our own encoder writes the address third; what somebody else wrote stays as it is, and so does its counter.
    local raw = string.gsub(message.raw, '^({"id":"[%w-]+","from":"[%w-]+","to":")[%w-]+', '%1' .. to, 1)
    if message.score then
      redis.call('ZADD', K_snoozed, message.score, to .. message.place .. wrap(message.lane, counter, raw))
    else
      redis.call('RPUSH', lane_key(to, message.lane), raw)
    end
  end
end
if moved > 0 then
  redis.call('SADD', K_ready, to)
  unstand({to})
end
apply()
return {1}
