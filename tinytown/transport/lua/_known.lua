-- The ids that a town knows of, from every index that can name one.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local function take_list()
  local list = {}
  for place = 1, tonumber(take()) do list[place] = take() end
  return list
end

local function union(lists)
  local ids, known = {}, {}
  for _, list in ipairs(lists) do
    for _, id in ipairs(list) do
      if not known[id] then
        known[id] = true
        ids[#ids + 1] = id
      end
    end
  end
  return ids
end

local function known_agents(supervisor)
  return union({
    {supervisor}, redis.call('HVALS', K_names), redis.call('HKEYS', K_epochs), redis.call('HKEYS', K_placed),
    redis.call('SMEMBERS', K_unplaced), redis.call('SMEMBERS', K_held), redis.call('SMEMBERS', K_ready),
  })
end

local function known_tasks(states)
  local lists = {redis.call('ZRANGE', K_tasks, 0, -1), redis.call('LRANGE', K_backlog, 0, -1)}
  for _, state in ipairs(states) do lists[#lists + 1] = redis.call('SMEMBERS', K_tasks_in(state)) end
  return union(lists)
end

local function known_missions()
  return union({redis.call('ZRANGE', K_missions, 0, -1), redis.call('SMEMBERS', K_mission_active)})
end
