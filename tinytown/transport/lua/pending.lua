#!lua flags=no-writes,allow-oom
--@ include _lanes
-- What waits for agents, by what it asks for.
-- ARGV: how many messages of a lane are looked at, then agents.
-- Returns for each agent {beginnings of messages, how many wait, how many a turn has in hand}. A message of ours is
--   cut behind its type; any other is there as a whole.
local OURS = '^{"id":"[%w-]*","from":"[%w-]*","to":"[%w-]*","type":"[%w_]+"'
local last, out = tonumber(ARGV[1]) - 1, {}
for place = 2, #ARGV do
  local agent, beginnings = ARGV[place], {}
  for lane = 1, LANES do
    for _, raw in ipairs(redis.call('LRANGE', lane_key(agent, lane), 0, last)) do
      local _, stop = string.find(raw, OURS)
      beginnings[#beginnings + 1] = string.sub(raw, 1, stop or -1)
    end
  end
  out[#out + 1] = {beginnings, waiting(agent), redis.call('HLEN', K_inflight(agent))}
end
return out
