#!lua flags=no-writes,allow-oom
--@ include _known
-- Reads a town as a whole, at one moment.
-- ARGV: supervisor, counted states of tasks, then four counted lists of words, in turn a type, and how a key begins
--   and ends: of keys that there is one of, that each agent has, that each task has, that each mission has.
-- Returns for each key that there is {its number among the keys above, what it is of, content}.
local function stream(key)
  if redis.call('EXISTS', key) == 0 then return false end
  local question, told = {'XINFO', 'STREAM', key}, {}
  local answer = redis.call(unpack(question))
  for place = 1, #answer, 2 do told[answer[place]] = answer[place + 1] end
  return {
    redis.call('XRANGE', key, '-', '+'),
    told['last-generated-id'], told['entries-added'], told['max-deleted-entry-id'],
  }
end

local read = {
  string = function(key) return redis.call('GET', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  hash = function(key) return redis.call('HGETALL', key) end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  stream = stream,
}

local agents, states = known_agents(take()), take_list()
local number, out = 0, {}

local function gather(rows, parts)
  for place = 1, #rows, 3 do
    number = number + 1
    for _, part in ipairs(parts) do
      local content = read[rows[place]](rows[place + 1] .. part .. rows[place + 2])
      if content and #content > 0 then out[#out + 1] = {number, part, content} end
    end
  end
end

gather(take_list(), {''})
gather(take_list(), agents)
gather(take_list(), known_tasks(states))
gather(take_list(), known_missions())
return out
