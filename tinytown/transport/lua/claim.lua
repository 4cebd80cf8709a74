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

local function take_lane(agent, lane, room, bytes_left, out)
  local key = lane_key(agent, lane)
  local found = redis.call('LRANGE', key, 0, room - 1)
  local taken, bytes = 0, 0
  for _, raw in ipairs(found) do
    if bytes + #raw > bytes_left and not (taken == 0 and #out == 3) then break end
    bytes = bytes + #raw
    taken = taken + 1
    local counter = counter_key(raw)
    local tag = redis.call('INCR', K_tags)
    redis.call('HSET', K_inflight(agent), tag, wrap(lane, counter, raw))
    redis.call('ZADD', K_leases(agent), deadline, tag)
    out[#out + 1] = tag
    out[#out + 1] = lane
    out[#out + 1] = redis.call('HGET', K_attempts, counter) or ''
    out[#out + 1] = redis.call('HGET', K_recoveries, counter) or ''
    out[#out + 1] = raw
  end
  if taken > 0 then redis.call('LTRIM', key, taken, -1) end
  return taken, bytes, taken == #found
end

local function claim(agent, epoch, room, bytes_left)
  if fenced(agent, epoch) then return {-1, {}, 0} end
  local control = redis.call('LRANGE', K_control(agent), 0, -1)
  if #control > 0 then
    redis.call('DEL', K_control(agent))
    return {1, control, waiting(agent)}
  end
  local out = {1, {}, 0}
  if redis.call('SISMEMBER', K_held, agent) == 1 then
    out[1] = -2
  else
    for lane = 1, LANES do
      if room <= 0 or bytes_left <= 0 or (lane == LANES and #out > 3) then break end
      local taken, bytes, emptied = take_lane(agent, lane, room, bytes_left, out)
      if not emptied then break end
      room = room - taken
      bytes_left = bytes_left - bytes
    end
  end
  out[3] = waiting(agent)
  if out[3] == 0 then redis.call('SREM', K_ready, agent) end
  return out
end

local results = {}
for at = 2, #ARGV, 4 do
  results[#results + 1] = claim(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
end
return results
