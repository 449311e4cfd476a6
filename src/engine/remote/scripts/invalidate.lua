-- Replaces an entry by a tombstone that refuses fills read before it, unless something newer is
-- there. KEYS[1] the key; ARGV[1] the tombstone; ARGV[2] its TTL in ms.
local head = redis.call('GETRANGE', KEYS[1], 0, 8)
if #head == 9 and struct.unpack('>I8', head, 2) >= struct.unpack('>I8', ARGV[1], 2) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
