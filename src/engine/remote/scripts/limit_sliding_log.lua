-- sliding-log: the time of every admitted request of the last window, in a sorted set. Never over
-- the limit in any window, and refuses only if the window is full (rate_limit/sliding_log.rs).
-- A member is its time and a number among those of the same microsecond, so that none collapse.
-- KEYS[1] the counter. ARGV[1] the limit; ARGV[2] the window in us; ARGV[3] unused; ARGV[4] the
-- time in us, if not the server's: for tests.
-- Returns {admitted, remaining, retry after in us, decided at in us}.
local limit, window, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4] or '')
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if newest[2] then now = math.max(now, tonumber(newest[2])) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
local held = redis.call('ZCARD', KEYS[1])
if held >= limit then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, 0, tonumber(oldest[2]) + window - now, now}
end
local score = string.format('%.0f', now)
local twin = redis.call('ZCOUNT', KEYS[1], score, score)
redis.call('ZADD', KEYS[1], score, score .. '-' .. twin)
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1)
return {1, limit - held - 1, 0, now}
