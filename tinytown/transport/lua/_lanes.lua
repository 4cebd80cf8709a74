local LANES = 4

local function lane_key(agent, lane)
  if lane == 1 then return K_urgent(agent) end
  if lane == 2 then return K_high(agent) end
  if lane == 3 then return K_inbox(agent) end
  return K_low(agent)
end

local function waiting(agent)
  local total = 0
  for lane = 1, LANES do
    total = total + redis.call('LLEN', lane_key(agent, lane))
  end
  return total
end
