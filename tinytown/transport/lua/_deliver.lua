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

-- Notes that messages with these ids were accepted, and that these agents were asked to work.
local function remember(ids, agents, now)
  if #ids == 0 then return end
  local scored = {}
  for _, id in ipairs(ids) do
    scored[#scored + 1] = now
    scored[#scored + 1] = id
  end
  redis.call('ZADD', K_seen, unpack(scored))
  redis.call('SADD', K_live, unpack(ids))
  if #agents > 0 then redis.call('SADD', K_ready, unpack(agents)) end
end
