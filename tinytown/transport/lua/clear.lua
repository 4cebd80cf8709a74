#!lua flags=allow-oom
--@ include _clock
-- Deletes a town's agents, tasks and messages in one step: nothing that is made meanwhile can be left half there.
-- An actor that a runtime holds is fenced by it, since its epoch is gone.
-- ARGV: journal length, an agent whose record stays, words of the event that tells of it (counted), then counted:
--   whole keys; the first parts of keys of agents; the first parts of keys of tasks.
-- Returns how many keys were deleted.
local at = 2
local function take()
  at = at + 1
  return ARGV[at]
end

local function take_all()
  local words = {}
  for place = 1, tonumber(take()) do words[place] = take() end
  return words
end

local event, whole, of_agents, of_tasks = take_all(), take_all(), take_all(), take_all()

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

local gone, rung = 0, {}
local function drop(key) gone = gone + redis.call('UNLINK', key) end
for id in pairs(agents) do
  rung[#rung + 1] = id
  for _, first in ipairs(of_agents) do
    if not (id == ARGV[2] and first == K_agent('')) then drop(first .. id) end
  end
end
for _, id in ipairs(tasks) do
  for _, first in ipairs(of_tasks) do drop(first .. id) end
end
for _, key in ipairs(whole) do drop(key) end
redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[1], '*', 'ms', now_ms(), unpack(event))
redis.call('PUBLISH', K_bell, table.concat(rung, ' '))
return gone
