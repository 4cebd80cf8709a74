#!lua
--@ include _clock _lanes _known
-- Puts another content in the place of all that a town holds, or changes nothing.
-- ARGV: supervisor, counted states of tasks, 1 to replace what is there or 0, schema of the content ('' for any),
--   new roster, a key to keep ('' for none), last tag, then counted lists of words:
--   how keys begin and end, in turn: of keys that there is one of, that each agent has, that each task has, that
--   each mission has: all these go
--   actors and epochs in turn
--   n writes: a counted list of words for each
-- Returns {1}, {-1, living runtimes}, {-2, agents, tasks, missions, messages} or {-3, schema of the town}.
--
-- Epochs never fall, and rise for whoever is placed now: a runtime that goes on as if nothing had happened is fenced.
local supervisor, states = take(), take_list()
local force, schema, roster, kept, tag = take() == '1', take(), take(), take(), tonumber(take())

local current = redis.call('GET', K_schema)
if current and schema ~= '' and current ~= schema then return {-3, current} end
if not force then
  local living = redis.call('ZCOUNT', K_runtimes, now_ms(), '+inf')
  if living > 0 then return {-1, living} end
  local agents, tasks = redis.call('HLEN', K_names), redis.call('ZCARD', K_tasks)
  local missions = redis.call('ZCARD', K_missions)
  local messages = waiting(supervisor) + redis.call('ZCARD', K_snoozed)
    + redis.call('XLEN', K_dlq) + redis.call('XLEN', K_quarantine)
  if agents + tasks + missions + messages > 0 then return {-2, agents, tasks, missions, messages} end
end

local function pairwise(list)
  local map = {}
  for place = 1, #list, 2 do map[list[place]] = list[place + 1] end
  return map
end

local placed, epochs = pairwise(redis.call('HGETALL', K_placed)), {}
for actor, epoch in pairs(pairwise(redis.call('HGETALL', K_epochs))) do
  epochs[actor] = tonumber(epoch) + (placed[actor] and 1 or 0)
end
tag = math.max(tag, tonumber(redis.call('GET', K_tags) or 0))

local function remove(ends, parts)
  for place = 1, #ends, 2 do
    for _, part in ipairs(parts) do
      local key = ends[place] .. part .. ends[place + 1]
      if key ~= kept then redis.call('UNLINK', key) end
    end
  end
end

local agents, tasks, missions = known_agents(supervisor), known_tasks(states), known_missions()
remove(take_list(), {''})
remove(take_list(), agents)
remove(take_list(), tasks)
remove(take_list(), missions)

for actor, epoch in pairs(pairwise(take_list())) do
  epochs[actor] = math.max(tonumber(epoch), epochs[actor] or 0)
end
for actor, epoch in pairs(epochs) do redis.call('HSET', K_epochs, actor, string.format('%.0f', epoch)) end
if tag > 0 then redis.call('SET', K_tags, string.format('%.0f', tag)) end
redis.call('SET', K_roster, roster)
for _ = 1, tonumber(take()) do redis.call(unpack(take_list())) end

local rung = {}
for actor in pairs(placed) do rung[#rung + 1] = actor end
if #rung > 0 then redis.call('PUBLISH', K_bell, table.concat(rung, ' ')) end
return {1}
