-- The value at a key; an entry lives for its TTL again from now on, but not past its end.
-- KEYS[1] the key; ARGV[1] the TTL in ms. Bytes 34..41 of an entry are its end in ns (see wire.rs).
-- Tombstones, leases and known absences stay as they are.
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 1) ~= 'e' then return held end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = math.floor(struct.unpack('>I8', held, 34) / 1000000) - now
if left <= 0 then
  redis.call('UNLINK', KEYS[1])
  return false
end
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[1]), left))
return held
