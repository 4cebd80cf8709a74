#!lua flags=no-writes,allow-oom
--@ include _known
-- Reads a town as a whole, at one moment.
-- ARGV: supervisor, counted states of tasks, then three counted lists of words, a type and a key in turn: keys that
--   there is one of; heads of keys that each agent has; heads of keys that each task has.
-- Returns for each key that there is {its number among the types and keys above, last part, content}.
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
  for place = 1, #rows, 2 do
    number = number + 1
    for _, part in ipairs(parts) do
      local content = read[rows[place]](rows[place + 1] .. part)
      if content and #content > 0 then out[#out + 1] = {number, part, content} end
    end
  end
end

gather(take_list(), {''})
gather(take_list(), agents)
gather(take_list(), known_tasks(states))
return out
