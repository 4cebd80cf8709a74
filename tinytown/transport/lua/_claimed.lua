-- The name under which a message's failures are counted: its id; for bytes without one, what they are.
-- Our own encoder writes the id first; JSON from elsewhere is read, never written again.
local function counter_key(raw)
  local id = string.match(raw, '^{"id":"([%w-]+)"')
  if id then return id end
  local readable, message = pcall(cjson.decode, raw)
  if readable and type(message) == 'table' and type(message.id) == 'string'
      and string.match(message.id, '^[%w-]+$') then
    return message.id
  end
  return 'sha1-' .. redis.sha1hex(raw)
end

-- A claimed message lies in the in-flight hash as '<lane> <counter key>\n<bytes>'.
local function wrap(lane, counter, raw)
  return lane .. ' ' .. counter .. '\n' .. raw
end

local function unwrap(value)
  local lane, counter, start = string.match(value, '^(%d) ([%w-]+)\n()')
  return tonumber(lane), counter, string.sub(value, start)
end

local function forget_claim(agent, tag)
  redis.call('HDEL', K_inflight(agent), tag)
  redis.call('ZREM', K_leases(agent), tag)
  redis.call('SREM', K_prompted(agent), tag)
end

local function forget_counters(counter)
  redis.call('HDEL', K_attempts, counter)
  redis.call('HDEL', K_recoveries, counter)
  redis.call('SREM', K_live, counter)
end

-- Out of the mailbox, into the dead letters or the quarantine, with all that a person needs to judge it.
local function put_aside(stream, agent, lane, counter, raw, reason, now)
  local attempts = string.match(redis.call('HGET', K_attempts, counter) or '', '^%d+') or '0'
  forget_counters(counter)
  redis.call('XADD', stream, '*', 'agent', agent, 'lane', lane, 'key', counter, 'at', now,
    'attempts', attempts, 'reason', reason, 'raw', raw)
  -- Whatever is appended next to the journal cuts it to its length.
  redis.call('XADD', K_events, '*', 'type', stream == K_dlq and 'dead_letter' or 'dead_letter.quarantined',
    'ms', now, 'agent', agent, 'message', counter, 'detail', reason)
end
