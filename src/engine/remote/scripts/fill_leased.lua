-- Stores an entry if our lease still stands, and wakes who waits. Without an entry the lease is
-- given back. KEYS[1] the key; ARGV[1] the lease; ARGV[2] the channel; ARGV[3] the notice;
-- ARGV[4] the entry; ARGV[5] its TTL in ms. Returns 1 if stored (or given back), 0 if refused.
local held = redis.call('GETRANGE', KEYS[1], 0, 24)
local ours = string.sub(held, 1, 1) == 'l' and string.sub(held, 10) == string.sub(ARGV[1], 10)
local stored = 0
if ours then
  local floor = struct.unpack('>I8', held, 2)
  if ARGV[4] == nil then
    if floor > 0 then
      redis.call('SET', KEYS[1], 't' .. string.sub(held, 2, 9), 'KEEPTTL')
    else
      redis.call('DEL', KEYS[1])
    end
    stored = 1
  elseif struct.unpack('>I8', ARGV[4], 2) >= floor then
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
    stored = 1
  end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return stored
