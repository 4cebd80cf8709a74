#!lua flags=allow-oom
--@ include _clock _fence _lanes _claimed _standing
-- Says what became of claimed messages.
-- ARGV: for each: agent, epoch, tag, verb, number, text.
--   ack                           done with
--   return    number = 1: quiet   back to the head of its lane, nothing counted; quiet: do not wake for it again
--   retry     number = delay ms   back, counted as a failed turn; text = turns that succeeded so far
--   snooze    number = delay ms   back after a time, nothing counted
--   dead      text = reason       to the dead letters
--   quarantine text = reason      out of the way, with its bytes
--   stand     number = lease (ms), text = '<runtime> <most messages> <most bytes>': behind its last, the actor stands
--             ready if nothing was put into its mailbox since it last looked
-- Give them in falling order of tags, so that what goes back stands in its old order.
-- Returns for each: 1 done, 0 not claimed (any more) or not standing, -1 fenced.
local now = now_ms()
local counted = redis.call('EXISTS', K_attempts, K_recoveries) > 0
local over = {}

-- The tag is padded: messages that are due in the same millisecond stand in the order of these texts.
local function later(agent, tag, lane, counter, raw, delay)
  local place = string.format('%s %016d ', agent, tag)
  redis.call('ZADD', K_snoozed, now + delay, place .. wrap(lane, counter, raw))
end

local function back(agent, lane, raw)
  redis.call('LPUSH', lane_key(agent, lane), raw)
  redis.call('SADD', K_ready, agent)
  unstand({agent})
end

local verbs = {
  ack = function(_, _, _, counter)
    if counted then forget_counters(counter) else over[#over + 1] = counter end
  end,
  ['return'] = function(agent, _, lane, _, raw) back(agent, lane, raw) end,
  retry = function(agent, tag, lane, counter, raw, delay, successes)
    counted = true
    local count, first = string.match(redis.call('HGET', K_attempts, counter) or '', '^(%d+)|(%d+)$')
    redis.call('HSET', K_attempts, counter, string.format('%d|%s', (count or 0) + 1, first or successes))
    if delay > 0 then later(agent, tag, lane, counter, raw, delay) else back(agent, lane, raw) end
  end,
  snooze = function(agent, tag, lane, counter, raw, delay) later(agent, tag, lane, counter, raw, delay) end,
  dead = function(agent, _, lane, counter, raw, _, reason)
    put_aside(K_dlq, agent, lane, counter, raw, reason, now)
  end,
  quarantine = function(agent, _, lane, counter, raw, _, reason)
    put_aside(K_quarantine, agent, lane, counter, raw, reason, now)
  end,
}

local agents = {}
for at = 1, #ARGV, 6 do agents[#agents + 1] = ARGV[at] end
local epochs = redis.call('HMGET', K_epochs, unpack(agents))
local results, quiet, willing, names = {}, {}, {}, {}
for place, agent in ipairs(agents) do
  local at = 6 * place - 5
  local tag, verb, number, text = ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4]), ARGV[at + 5]
  local value = verb ~= 'stand' and redis.call('HGET', K_inflight(agent), tag)
  if outdated(ARGV[at + 1], epochs[place]) then
    results[place] = -1
  elseif verb == 'stand' then
    willing[#willing + 1], names[#names + 1] = place, agent
  elseif not value then
    results[place] = 0
  else
    local lane, counter, raw = unwrap(value)
    forget_claim(agent, tag)
    verbs[verb](agent, tag, lane, counter, raw, number, text)
    if verb == 'return' and number == 1 then quiet[agent] = (quiet[agent] or 0) + 1 end
    results[place] = 1
  end
end
if #over > 0 then redis.call('SREM', K_live, unpack(over)) end
-- Quiet only when nothing came in meanwhile, or a message would wait unseen.
for agent, returned in pairs(quiet) do
  if waiting(agent) == returned and redis.call('LLEN', K_control(agent)) == 0 then
    redis.call('SREM', K_ready, agent)
  end
end
if #willing > 0 then
  local stands = {}
  for number, words in ipairs(redis.call('HMGET', K_standing, unpack(names))) do
    local place = willing[number]
    results[place] = words and 1 or 0
    if words then
      local at = 6 * place - 5
      stands[#stands + 1] = names[number]
      stands[#stands + 1] = string.gsub(ARGV[at + 5], ' ', ' ' .. ARGV[at + 4] .. ' ', 1)
    end
  end
  stand(stands)
end
return results
