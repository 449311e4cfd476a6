-- gcra: requests evenly apart, up to ARGV[3] of them early at once: in any time t at most
-- ARGV[3] + limit * t / window pass (rate_limit/gcra.rs). A string: when the next one is due.
-- KEYS[1] the counter. ARGV[1] the limit; ARGV[2] the window in us; ARGV[3] the burst; ARGV[4] the
-- time in us, if not the server's: for tests.
-- Returns {admitted, remaining, retry after in us, decided at in us}.
local interval = math.ceil(tonumber(ARGV[2]) / tonumber(ARGV[1]))
local leave, now = interval * (tonumber(ARGV[3]) - 1), tonumber(ARGV[4] or '')
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local due = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
local early = due - now
if early > leave then return {0, 0, early - leave, now} end
local lasts = math.ceil((early + interval) / 1000) + 1
redis.call('SET', KEYS[1], string.format('%.0f', due + interval), 'PX', lasts)
return {1, math.floor((leave - early) / interval), 0, now}
