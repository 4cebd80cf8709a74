#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed
-- Takes what waits for each of several actors into its in-flight hash, under a lease.
-- ARGV: lease (ms), then for each: agent, epoch, most messages, most bytes.
-- Returns for each {status, control messages, still waiting, tag, lane, attempts, recoveries, bytes, tag, ...}.
-- Status 1: done. -1: fenced. -2: held (paused or ending). Control messages go first: while there are any,
-- nothing else is taken. The low lane is read only when the others gave nothing. A lane that still holds something
-- ends the claim: a smaller message of a later lane must not overtake it. One message is always taken, however
-- large: a limit must not block the mailbox.
local deadline = now_ms() + tonumber(ARGV[1])
local MOST = 1000 -- a script stops the whole server while it runs, and a command takes some thousand words

local agents = {}
for at = 2, #ARGV, 4 do agents[#agents + 1] = ARGV[at] end
local epochs = redis.call('HMGET', K_epochs, unpack(agents))
local held = redis.call('SMISMEMBER', K_held, unpack(agents))
local counted = redis.call('EXISTS', K_attempts, K_recoveries) > 0
local emptied = {}

-- Takes from one lane into `taken`; returns the room that is left and how many messages stay in the lane.
local function take_lane(agent, lane, room, bytes, taken)
  local key = lane_key(agent, lane)
  local found = redis.call('LRANGE', key, 0, room - 1)
  local count = 0
  for _, raw in ipairs(found) do
    if #raw > bytes and #taken > 0 then break end
    bytes = bytes - #raw
    count = count + 1
    taken[#taken + 1] = {lane = lane, raw = raw, counter = counter_key(raw)}
  end
  if count > 0 then redis.call('LTRIM', key, count, -1) end
  local left = #found - count
  if #found == room then left = redis.call('LLEN', key) end
  return room - count, bytes, left
end

-- Puts what was taken into the in-flight hash, and into the answer.
local function hold(agent, taken, out)
  local tag = redis.call('INCRBY', K_tags, #taken) - #taken
  local values, leases, counters = {}, {}, {}
  for place, message in ipairs(taken) do
    values[2 * place - 1], values[2 * place] = tag + place, wrap(message.lane, message.counter, message.raw)
    leases[2 * place - 1], leases[2 * place] = deadline, tag + place
    counters[place] = message.counter
  end
  redis.call('HSET', K_inflight(agent), unpack(values))
  redis.call('ZADD', K_leases(agent), unpack(leases))
  local attempts = counted and redis.call('HMGET', K_attempts, unpack(counters)) or {}
  local recoveries = counted and redis.call('HMGET', K_recoveries, unpack(counters)) or {}
  for place, message in ipairs(taken) do
    out[#out + 1] = tag + place
    out[#out + 1] = message.lane
    out[#out + 1] = attempts[place] or ''
    out[#out + 1] = recoveries[place] or ''
    out[#out + 1] = message.raw
  end
end

local function claim(agent, room, bytes)
  local control = redis.call('LRANGE', K_control(agent), 0, -1)
  if #control > 0 then
    redis.call('DEL', K_control(agent))
    return {1, control, waiting(agent)}
  end
  local taken, left, over = {}, 0, room <= 0
  for lane = 1, LANES do
    if over or (lane == LANES and #taken > 0) then
      left = left + redis.call('LLEN', lane_key(agent, lane))
    else
      local stay
      room, bytes, stay = take_lane(agent, lane, room, bytes, taken)
      left = left + stay
      over = stay > 0 or room <= 0 or bytes <= 0
    end
  end
  local out = {1, {}, left}
  if #taken > 0 then hold(agent, taken, out) end
  if left == 0 then emptied[#emptied + 1] = agent end
  return out
end

local results = {}
for place, agent in ipairs(agents) do
  local at = 4 * place - 2
  if outdated(ARGV[at + 1], epochs[place]) then
    results[place] = {-1, {}, 0}
  elseif held[place] == 1 and redis.call('EXISTS', K_control(agent)) == 0 then
    results[place] = {-2, {}, waiting(agent)}
    if results[place][3] == 0 then emptied[#emptied + 1] = agent end
  else
    results[place] = claim(agent, math.min(tonumber(ARGV[at + 2]), MOST), tonumber(ARGV[at + 3]))
  end
end
if #emptied > 0 then redis.call('SREM', K_ready, unpack(emptied)) end
return results
