-- sliding-buckets: the window is cut into sub-buckets and the oldest, which lies only partly inside,
-- is counted in full: never over the limit in any window, and room is given back up to one bucket
-- late (rate_limit/sliding_buckets.rs). A hash of bucket number -> count.
-- KEYS[1] the counter. ARGV[1] the limit; ARGV[2] the window in us; ARGV[3] the number of buckets;
-- ARGV[4] the time in us, if not the server's: for tests.
-- Returns {admitted, remaining, retry after in us, decided at in us}.
local limit, window, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(ARGV[4] or '')
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local width = math.ceil(window / buckets)
local held, newest = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #held, 2 do
  local bucket = tonumber(held[i])
  held[i] = bucket
  if bucket > newest then newest = bucket end
end
if now < newest * width then now = newest * width end
local current = math.floor(now / width)
local first, total, oldest, gone = current - buckets, 0, current, {}
for i = 1, #held, 2 do
  local bucket = held[i]
  if bucket < first then
    gone[#gone + 1] = string.format('%.0f', bucket)
  else
    total = total + held[i + 1]
    if bucket < oldest then oldest = bucket end
  end
end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
if total >= limit then
  return {0, 0, (oldest + buckets + 1) * width - now, now}
end
redis.call('HINCRBY', KEYS[1], string.format('%.0f', current), 1)
redis.call('PEXPIRE', KEYS[1], math.ceil((buckets + 1) * width / 1000) + 1)
return {1, limit - total - 1, 0, now}
