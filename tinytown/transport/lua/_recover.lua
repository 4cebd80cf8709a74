-- Gives one claimed message back to the head of its lane because its turn ended without a word.
-- Call it in falling order of tags: then each lane's head is exactly as it was.
-- A message that stood in a prompt when its runtime died is counted: `limits.recoveries` such deaths within
-- `limits.window` ms and it goes to quarantine, for it may be what kills.
local function recover(agent, tag, value, now, limits)
  local lane, counter, raw = unwrap(value)
  local prompted = redis.call('SISMEMBER', K_prompted(agent), tag) == 1
  forget_claim(agent, tag)
  if prompted then
    local count, first = string.match(redis.call('HGET', K_recoveries, counter) or '', '^(%d+)|(%d+)$')
    if not count or now - tonumber(first) > limits.window then count, first = 0, now end
    count = count + 1
    if count >= limits.recoveries then
      put_aside(K_quarantine, agent, lane, counter, raw,
        'its runtime died ' .. count .. ' times while it was being worked on', now)
      return false
    end
    redis.call('HSET', K_recoveries, counter, count .. '|' .. string.format('%d', first))
  end
  redis.call('LPUSH', lane_key(agent, lane), raw)
  redis.call('SADD', K_ready, agent)
  return true
end

-- All that is claimed for the agent, or all whose lease has passed, back to its lanes.
local function recover_all(agent, tags, now, limits)
  table.sort(tags, function(a, b) return tonumber(a) > tonumber(b) end)
  local back, gone = 0, 0
  for _, tag in ipairs(tags) do
    local value = redis.call('HGET', K_inflight(agent), tag)
    if value then
      if recover(agent, tag, value, now, limits) then back = back + 1 else gone = gone + 1 end
    else
      redis.call('ZREM', K_leases(agent), tag)
    end
  end
  if back > 0 then unstand({agent}) end
  return back, gone
end

-- What is claimed for the agent and was lost on the way to it goes back uncounted: nobody has seen it.
local function give_back(agent, now)
  redis.call('DEL', K_prompted(agent))
  return recover_all(agent, redis.call('HKEYS', K_inflight(agent)), now, {recoveries = 1, window = 0})
end
