-- A sliding window of sub-buckets on the server's time. The window is cut into ARGV[3] buckets and
-- the oldest, which lies only partly inside, is counted in full: never more than the limit pass in
-- any window, and at the worst one bucket's worth of room is given back late.
-- KEYS[1] the counter, a hash of bucket number -> count.
-- ARGV[1] the limit; ARGV[2] the window in ms; ARGV[3] the number of buckets.
-- Returns {admitted, remaining, retry after in ms}.
local limit, window, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local width = window / buckets
local current = math.floor(now / width)
local first = current - buckets
local total, oldest, gone = 0, nil, {}
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  local bucket = tonumber(held[i])
  if bucket < first then
    gone[#gone + 1] = held[i]
  else
    total = total + tonumber(held[i + 1])
    if oldest == nil or bucket < oldest then oldest = bucket end
  end
end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
if total >= limit then
  local retry = 0
  if oldest ~= nil then retry = math.ceil((oldest + buckets + 1) * width - now) end
  return {0, 0, retry}
end
redis.call('HINCRBY', KEYS[1], string.format('%.0f', current), 1)
redis.call('PEXPIRE', KEYS[1], window + math.ceil(width))
return {1, limit - total - 1, 0}
