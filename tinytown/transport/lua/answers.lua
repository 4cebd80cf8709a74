#!lua flags=allow-oom
--@ include _clock
-- What was answered to requests that may come again. The caller alone knows what stands in a mark or an answer.
-- ARGV: 'open', name, mark, how long it is kept (ms), how many are kept; returns what is there already, or nil when
--   the mark is there from now on
-- ARGV: 'close', name, mark, answer: the answer in place of the mark
-- ARGV: 'drop', name, mark: the mark is gone
local what, name, mark = ARGV[1], ARGV[2], ARGV[3]

local function forget(each)
  redis.call('HDEL', K_answers, each)
  redis.call('ZREM', K_answers_until, each)
end

if what == 'open' then
  local now = now_ms()
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', K_answers_until, '-inf', now, 'LIMIT', 0, 100)) do
    forget(old)
  end
  local found = redis.call('HGET', K_answers, name)
  if found then return found end
  -- Before the new one is there: of several of one millisecond it need not be the last.
  local over = redis.call('ZCARD', K_answers_until) + 1 - tonumber(ARGV[5])
  if over > 0 then
    -- One more than have to go: of those of the same millisecond the new one may come first, and stays.
    for _, old in ipairs(redis.call('ZRANGE', K_answers_until, 0, over)) do
      if old ~= name and over > 0 then
        forget(old)
        over = over - 1
      end
    end
  end
  redis.call('HSET', K_answers, name, mark)
  redis.call('ZADD', K_answers_until, now + tonumber(ARGV[4]), name)
  return nil
end

if redis.call('HGET', K_answers, name) ~= mark then return 0 end
if what == 'close' then
  redis.call('HSET', K_answers, name, ARGV[4])
else
  forget(name)
end
return 1
