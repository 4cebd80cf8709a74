-- Why a message for this agent cannot be accepted now, or nil. -1: mailbox full. -2: town full. -3: no such agent.
-- `town` is how many messages the town has; `more` how many of this script are for this mailbox and not in it yet.
local function refusal(agent, caps, town, more)
  if redis.call('EXISTS', K_agent(agent)) == 0 then return -3 end
  -- No mailbox can hold more accepted messages than the town has: mostly that spares the look at its lanes. What was
  -- pushed by hand counts only in that look.
  if town >= caps.inbox and waiting(agent) + more >= caps.inbox then return -1 end
  if town >= caps.town then return -2 end
end

-- Which of these messages were accepted before.
local function seen_before(ids)
  if #ids == 0 then return {} end
  return redis.call('ZMSCORE', K_seen, unpack(ids))
end

-- What is handed over waits in the server's memory for a runtime that reads slowly: a larger message waits in its lane.
local HANDED_BYTES = 16384

-- How the agents of these messages stand, by name; each with what it is handed, nothing so far.
local function standing_among(messages)
  local names, asked, actors, stances = {}, {}, {}, {}
  for _, message in ipairs(messages) do
    if message.rings and not asked[message.agent] then
      asked[message.agent] = true
      names[#names + 1] = message.agent
    end
  end
  if #names == 0 then return actors end
  local held
  for place, words in ipairs(redis.call('HMGET', K_standing, unpack(names))) do
    local stands = words and words ~= ''
    if stands and not held then held = redis.call('SMISMEMBER', K_held, unpack(names)) end
    if stands and held[place] == 0 then
      -- Mostly all stand in one way.
      local stance = stances[words]
      if not stance then
        local runtime, lease, count, bytes = string.match(words, '^(%S+) (%d+) (%d+) (%d+)$')
        stance = {runtime = runtime, lease = tonumber(lease), count = tonumber(count), bytes = tonumber(bytes)}
        stances[words] = stance
      end
      actors[names[place]] = {stance = stance, count = 0, bytes = 0, last = 0}
    end
  end
  return actors
end

-- Whether the actor, which stands, can be handed this message behind what it is handed already. The low lane is only
-- read alone.
local function takes(actor, message)
  local size, stance = #message.raw, actor.stance
  return message.rings and size <= HANDED_BYTES and actor.count < stance.count
    and (actor.count == 0 or (actor.bytes + size <= stance.bytes and message.lane < LANES and actor.last < LANES))
    -- What is sent to a runtime is in lines. Our own encoder writes one.
    and not string.find(message.raw, '\n', 1, true)
end

-- Parts the messages into those that actors are handed, by how these stand, and the rest. Once an actor cannot be
-- handed one, those behind it must not overtake it.
local function choose(messages)
  local actors, chosen, rest = standing_among(messages), {}, {}
  for _, message in ipairs(messages) do
    local actor = actors[message.agent]
    if actor and takes(actor, message) then
      actor.count, actor.bytes, actor.last = actor.count + 1, actor.bytes + #message.raw, message.lane
      local same = chosen[actor.stance] or {}
      chosen[actor.stance] = same
      same[#same + 1] = message
    else
      actors[message.agent] = nil
      rest[#rest + 1] = message
    end
  end
  return chosen, rest
end

-- Sends messages to the runtime of their actors and claims them, if it listens; says whether it does.
-- It gets lines: the first tag, then for each message agent, lane, bytes; the tags rise by one.
local function hand_over(stance, messages, now)
  local tag, lines, full = redis.call('INCRBY', K_tags, #messages) - #messages, {}, {}
  lines[1] = tag + 1
  for place, message in ipairs(messages) do
    lines[3 * place - 1], lines[3 * place], lines[3 * place + 1] = message.agent, message.lane, message.raw
  end
  if redis.call('PUBLISH', K_handed(stance.runtime), table.concat(lines, '\n')) == 0 then return false end
  for place, message in ipairs(messages) do
    redis.call('HSET', K_inflight(message.agent), tag + place, wrap(message.lane, message.id, message.raw))
    redis.call('ZADD', K_leases(message.agent), now + stance.lease, tag + place)
    full[2 * place - 1], full[2 * place] = message.agent, ''
  end
  stand(full)
  return true
end

-- Notes that messages were accepted, {agent, lane, id, rings, raw} each, and delivers them: into the hands of actors
-- that stand, or into the lanes. Rings for these agents besides.
local function deliver(messages, bells, now)
  local ids, scored, laned, rung, touched = {}, {}, {}, {}, {}
  local function touch(agent, rings)
    if touched[agent] == nil then laned[#laned + 1] = agent end
    if rings and not touched[agent] then rung[#rung + 1] = agent end
    touched[agent] = touched[agent] or rings
  end
  local function put(message)
    redis.call('RPUSH', lane_key(message.agent, message.lane), message.raw)
    touch(message.agent, message.rings)
  end
  if #messages > 0 then
    for place, message in ipairs(messages) do
      ids[place] = message.id
      scored[2 * place - 1], scored[2 * place] = now, message.id
    end
    redis.call('ZADD', K_seen, unpack(scored))
    redis.call('SADD', K_live, unpack(ids))
    local chosen, rest = choose(messages)
    for stance, same in pairs(chosen) do
      if not hand_over(stance, same, now) then
        for _, message in ipairs(same) do put(message) end
      end
    end
    for _, message in ipairs(rest) do put(message) end
  end
  for _, agent in ipairs(bells) do touch(agent, true) end
  unstand(laned)
  if #rung > 0 then
    redis.call('SADD', K_ready, unpack(rung))
    redis.call('PUBLISH', K_bell, table.concat(rung, ' '))
  end
end
