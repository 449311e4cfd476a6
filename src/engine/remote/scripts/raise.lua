-- Raises the generation of a scope: every entry in it that was filled before is outdated.
-- KEYS[1] the generations, a hash of scope -> generation. ARGV[1] the scope; ARGV[2] the newest
-- generation that the caller knows; ARGV[3] the TTL of the hash in ms.
-- Returns the new generation, above every other. It is the server's time in microseconds where that
-- is above, so that it stays above also when the hash was lost.
local time = redis.call('TIME')
local newest = math.max(tonumber(ARGV[2]) + 1, time[1] * 1000000 + time[2])
for _, held in ipairs(redis.call('HVALS', KEYS[1])) do
  newest = math.max(newest, tonumber(held) + 1)
end
local generation = string.format('%.0f', newest)
redis.call('HSET', KEYS[1], ARGV[1], generation)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return generation
