-- two-buckets: this fixed window's count, and of the last one's the share that is still in sight: up
-- to twice the limit, less one, in any window (rate_limit/two_buckets.rs). A hash: w the window's
-- number, c its count, p the count of the one before.
-- KEYS[1] the counter. ARGV[1] the limit; ARGV[2] the window in us; ARGV[3] unused; ARGV[4] the
-- time in us, if not the server's: for tests.
-- Returns {admitted, remaining, retry after in us, decided at in us}.
local limit, window, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4] or '')
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local held = redis.call('HMGET', KEYS[1], 'w', 'c', 'p')
local known, count, last = tonumber(held[1] or 0), tonumber(held[2] or 0), tonumber(held[3] or 0)
now = math.max(now, known * window)
local current = math.floor(now / window)
if current > known then
  last = current == known + 1 and count or 0
  count = 0
end
-- When no more than room of n requests of a window are in sight, from the start of the next.
local function fades_to(room, n)
  if n <= room then return 0 end
  return math.ceil(window * ((n - room) / n))
end
local into = now - current * window
local counted = count + math.ceil(last * ((window - into) / window))
if counted >= limit then
  local room = limit - count - 1
  local at = room >= 0 and fades_to(room, last) or window + fades_to(limit - 1, count)
  return {0, 0, at - into, now}
end
redis.call('HSET', KEYS[1], 'w', string.format('%.0f', current), 'c', count + 1, 'p', last)
redis.call('PEXPIRE', KEYS[1], math.ceil(2 * window / 1000) + 1)
return {1, limit - counted - 1, 0, now}
