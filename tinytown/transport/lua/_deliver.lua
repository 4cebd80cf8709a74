-- Why this message cannot be accepted now, or nil. 2: accepted before. -1: mailbox full. -2: town full. -3: no
-- such agent. `inbox` and `town` count what this script has accepted for the agent and in all, and not delivered yet.
local function refusal(agent, id, caps, inbox, town)
  if redis.call('ZSCORE', K_seen, id) then return 2 end
  if redis.call('EXISTS', K_agent(agent)) == 0 then return -3 end
  if waiting(agent) + inbox >= caps.inbox then return -1 end
  if redis.call('SCARD', K_live) + town >= caps.town then return -2 end
end

-- Puts the message at the end of its lane. `rings`: it asks for work, so the agent is woken.
local function deliver(agent, lane, id, raw, rings, now)
  redis.call('RPUSH', lane_key(agent, lane), raw)
  redis.call('ZADD', K_seen, now, id)
  redis.call('SADD', K_live, id)
  if rings then redis.call('SADD', K_ready, agent) end
end

-- De-duplication remembers a day, and never more than this many ids.
local function forget_old(now, keep_ms, keep_ids)
  redis.call('ZREMRANGEBYSCORE', K_seen, '-inf', now - keep_ms)
  local over = redis.call('ZCARD', K_seen) - keep_ids
  if over > 0 then redis.call('ZREMRANGEBYRANK', K_seen, 0, over - 1) end
end
