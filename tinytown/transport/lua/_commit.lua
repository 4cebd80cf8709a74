-- Changes records, sends messages and tells the journal, all or nothing.
-- ARGV: inbox cap, town cap, journal length, actor, epoch ('' = unfenced),
--   then counted groups:
--   n checks:   key, then '=' and the bytes it must hold, '!' and '' for none, '-' and a field its hash must lack,
--               '#' and how many entries its sorted set must have
--   n taken:    agent, lane, bytes: a message that must still lie there; it is done with
--   n writes:   number of words, words...
--   n messages: agent, lane, id, rings, bytes
--   n events:   number of words, words...
--   n bells:    agent
-- What refuses it is {0, key or agent} for a check or a taking that failed, {-4} when fenced, {code, message id} for a message refused.
local at = 5
local function take()
  at = at + 1
  return ARGV[at]
end

local function take_groups()
  local groups = {}
  for group = 1, tonumber(take()) do
    local words = {}
    for word = 1, tonumber(take()) do words[word] = take() end
    groups[group] = words
  end
  return groups
end

-- Reads the change and looks whether it can be done. Returns what refuses it, or nil and what carries it out:
-- until that is called nothing is written.
local function prepared()
  if fenced(ARGV[4], ARGV[5]) then return {-4} end

  for _ = 1, tonumber(take()) do
    local key, kind, expected = take(), take(), take()
    if kind == '-' then
      if redis.call('HEXISTS', key, expected) == 1 then return {0, key} end
    elseif kind == '#' then
      if redis.call('ZCARD', key) ~= tonumber(expected) then return {0, key} end
    else
      local found = redis.call('GET', key)
      if (kind == '!' and found) or (kind == '=' and found ~= expected) then return {0, key} end
    end
  end

  local taken = {}
  for place = 1, tonumber(take()) do
    local message = {agent = take(), lane = tonumber(take()), raw = take()}
    if not redis.call('LPOS', lane_key(message.agent, message.lane), message.raw) then return {0, message.agent} end
    taken[place] = message
  end

  -- A record that this very commit creates may be written to at once.
  local writes, created = take_groups(), {}
  for _, words in ipairs(writes) do
    if words[1] == 'SET' then created[words[2]] = true end
  end

  local given, ids = {}, {}
  for place = 1, tonumber(take()) do
    given[place] = {agent = take(), lane = tonumber(take()), id = take(), rings = take() == '1', raw = take()}
    ids[place] = given[place].id
  end
  local before = seen_before(ids)
  local caps = {inbox = tonumber(ARGV[1]), town = tonumber(ARGV[2])}
  local town = redis.call('SCARD', K_live) - #taken
  local messages, accepted, per_agent = {}, {}, {}
  for place, message in ipairs(given) do
    if not before[place] and not accepted[message.id] then
      local already = per_agent[message.agent] or 0
      local refused = refusal(message.agent, caps, town + #messages, already)
      if refused == -3 and created[K_agent(message.agent)] then refused = nil end
      if refused then return {refused, message.id} end
      accepted[message.id] = true
      per_agent[message.agent] = already + 1
      messages[#messages + 1] = message
    end
  end

  local events, bells = take_groups(), {}
  for place = 1, tonumber(take()) do bells[place] = take() end

  return nil, function()
    local now = now_ms()
    for _, message in ipairs(taken) do
      redis.call('LREM', lane_key(message.agent, message.lane), 1, message.raw)
      forget_counters(counter_key(message.raw))
    end
    for _, words in ipairs(writes) do redis.call(unpack(words)) end
    deliver(messages, bells, now)
    for _, words in ipairs(events) do
      redis.call('XADD', K_events, 'MAXLEN', '~', ARGV[3], '*', 'ms', now, unpack(words))
    end
  end
end
