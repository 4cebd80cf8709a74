#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed _standing _recover
-- Takes what waits for each of several actors into its in-flight hash, under a lease.
-- ARGV: lease (ms), then for each: agent, epoch, most messages, most bytes, runtime or ''. A runtime says that the
-- actor has nothing in its hands (what is claimed for it was lost on the way, and goes back first), and that it will
-- stand ready if there is nothing for it.
-- Returns for each {status, control messages, still waiting, tag, lane, attempts, recoveries, bytes, tag, ...}.
-- Status 1: done. 2: there was nothing, it stands ready. -1: fenced. -2: held (paused or ending).
-- Control messages go first: while there are any, nothing else is taken. They stay until the actor says that it has
-- heard them. The low lane is read only when the others gave nothing. A lane that still holds something ends the
-- claim: a smaller message of a later lane must not overtake it. One message is always taken, however large: a limit
-- must not block the mailbox.
-- What can be asked for all actors at once is: a command costs more than its work.
local MOST = 1000 -- a script stops the whole server while it runs, and a command takes some thousand words

local agents, rare_keys, hand_keys = {}, {K_attempts, K_recoveries}, {}
for at = 2, #ARGV, 5 do
  agents[#agents + 1] = ARGV[at]
  rare_keys[#rare_keys + 1] = K_control(ARGV[at])
  if ARGV[at + 4] ~= '' then hand_keys[#hand_keys + 1] = K_inflight(ARGV[at]) end
end
local epochs = redis.call('HMGET', K_epochs, unpack(agents))
local held = redis.call('SMISMEMBER', K_held, unpack(agents))
-- Mostly nobody is told anything, no message has failed and no runtime has died: then nothing of it is looked up.
local rare = redis.call('EXISTS', unpack(rare_keys)) > 0
local lost = #hand_keys > 0 and redis.call('EXISTS', unpack(hand_keys)) > 0

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

-- What one actor gets: status, control messages, how many still wait, and what was taken from its lanes.
local function take(place, agent, epoch, room, bytes, runtime)
  if outdated(epoch, epochs[place]) then return -1, {}, 0, {} end
  if lost and runtime ~= '' then give_back(agent, now_ms()) end
  local control = rare and redis.call('LRANGE', K_control(agent), 0, -1) or {}
  if #control > 0 then return 1, control, waiting(agent), {} end
  if held[place] == 1 then return -2, {}, waiting(agent), {} end
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
  return 1, {}, left, taken
end

local results, takings, emptied, stands, others, total = {}, {}, {}, {}, {}, 0
for place, agent in ipairs(agents) do
  local at = 5 * place - 3
  local room = math.min(tonumber(ARGV[at + 2]), MOST)
  local runtime = ARGV[at + 4]
  local status, control, left, taken = take(place, agent, ARGV[at + 1], room, tonumber(ARGV[at + 3]), runtime)
  results[place] = {status, control, left}
  takings[place] = taken
  total = total + #taken
  local nothing = left == 0 and #control == 0
  if nothing and status ~= -1 then emptied[#emptied + 1] = agent end
  if nothing and status == 1 and runtime ~= '' then
    local full = #taken > 0
    if not full then results[place][1] = 2 end
    stands[#stands + 1] = agent
    stands[#stands + 1] = full and '' or table.concat({runtime, ARGV[1], room, ARGV[at + 3]}, ' ')
  elseif status ~= -1 then
    others[#others + 1] = agent
  end
end
stand(stands)
unstand(others)
if #emptied > 0 then redis.call('SREM', K_ready, unpack(emptied)) end
if total == 0 then return results end

local deadline = now_ms() + tonumber(ARGV[1])
local tag = redis.call('INCRBY', K_tags, total) - total
for place, taken in ipairs(takings) do
  if #taken > 0 then
    local out, values, leases, counters = results[place], {}, {}, {}
    for number, message in ipairs(taken) do
      values[2 * number - 1], values[2 * number] = tag + number, wrap(message.lane, message.counter, message.raw)
      leases[2 * number - 1], leases[2 * number] = deadline, tag + number
      counters[number] = message.counter
    end
    redis.call('HSET', K_inflight(agents[place]), unpack(values))
    redis.call('ZADD', K_leases(agents[place]), unpack(leases))
    local attempts = rare and redis.call('HMGET', K_attempts, unpack(counters)) or {}
    local recoveries = rare and redis.call('HMGET', K_recoveries, unpack(counters)) or {}
    for number, message in ipairs(taken) do
      out[#out + 1] = tag + number
      out[#out + 1] = message.lane
      out[#out + 1] = attempts[number] or ''
      out[#out + 1] = recoveries[number] or ''
      out[#out + 1] = message.raw
    end
    tag = tag + #taken
  end
end
return results
