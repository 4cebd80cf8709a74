-- Milliseconds since 1970 by the server's clock: leases never depend on a client's.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
