#!lua flags=allow-oom
--@ include _clock
-- Deletes a town's agents, tasks, missions and messages in one step: nothing that is made meanwhile can be left half there.
-- An actor that a runtime holds is fenced by it, since its epoch is gone.
-- ARGV: journal length, an agent whose record stays, what that is from now on, words of the event that tells of it (counted), then counted:
--   whole keys; how the keys of each agent begin and end, in turn; those of each task; those of each mission.
-- Returns how many keys were deleted.
local at = 3
local function take()
  at = at + 1
  return ARGV[at]
end

local function take_all()
  local words = {}
  for place = 1, tonumber(take()) do words[place] = take() end
  return words
end

local event, whole, of_agents, of_tasks, of_missions = take_all(), take_all(), take_all(), take_all(), take_all()

-- An agent may be known by one of these alone: what it had must not stay behind.
local agents = {[ARGV[2]] = true}
local function know(ids)
  for _, id in ipairs(ids) do agents[id] = true end
end
know(redis.call('HVALS', K_names))
know(redis.call('HKEYS', K_epochs))
know(redis.call('HKEYS', K_placed))
know(redis.call('HKEYS', K_tokens))
know(redis.call('SMEMBERS', K_ready))
know(redis.call('SMEMBERS', K_unplaced))
know(redis.call('SMEMBERS', K_held))
local tasks = redis.call('ZRANGE', K_tasks, 0, -1)
for _, id in ipairs(redis.call('LRANGE', K_backlog, 0, -1)) do tasks[#tasks + 1] = id end

local missions = redis.call('ZRANGE', K_missions, 0, -1)
for _, id in ipairs(redis.call('SMEMBERS', K_mission_active)) do missions[#missions + 1] = id end

local gone, rung, kept = 0, {}, K_agent(ARGV[2])
local function drop(key)
  if key ~= kept then gone = gone + redis.call('UNLINK', key) end
end
local function drop_of(ends, id)
  for place = 1, #ends, 2 do drop(ends[place] .. id .. ends[place + 1]) end
end
for id in pairs(agents) do
  rung[#rung + 1] = id
  drop_of(of_agents, id)
end
for _, id in ipairs(tasks) do drop_of(of_tasks, id) end
for _, id in ipairs(missions) do drop_of(of_missions, id) end
for _, key in ipairs(whole) do drop(key) end
redis.call('SET', K_agent(ARGV[2]), ARGV[3], 'XX')
redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[1], '*', 'ms', now_ms(), unpack(event))
redis.call('PUBLISH', K_bell, table.concat(rung, ' '))
return gone
