-- fixed-window: one count, from zero again in the next window of the clock: up to twice the limit in
-- any window. A control (rate_limit/fixed_window.rs). A hash: w the window's number, c its count.
-- KEYS[1] the counter. ARGV[1] the limit; ARGV[2] the window in us; ARGV[3] unused; ARGV[4] the
-- time in us, if not the server's: for tests.
-- Returns {admitted, remaining, retry after in us, decided at in us}.
local limit, window, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4] or '')
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local held = redis.call('HMGET', KEYS[1], 'w', 'c')
local known, count = tonumber(held[1] or 0), tonumber(held[2] or 0)
now = math.max(now, known * window)
local current = math.floor(now / window)
if current > known then count = 0 end
if count >= limit then return {0, 0, (current + 1) * window - now, now} end
redis.call('HSET', KEYS[1], 'w', string.format('%.0f', current), 'c', count + 1)
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1)
return {1, limit - count - 1, 0, now}
