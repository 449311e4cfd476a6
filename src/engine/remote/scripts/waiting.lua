-- How the queue fares. KEYS[1] the stream; KEYS[2] the dead letters; both in one slot.
-- Returns {writes, how long the oldest has waited in ms, dead letters}.
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local age = 0
if #oldest > 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  age = math.max(0, now - tonumber(string.match(oldest[1][1], '%d+')))
end
return {redis.call('XLEN', KEYS[1]), age, redis.call('XLEN', KEYS[2])}
