-- Drops an entry, of which no newer commit is known. What was read before it, or before the tombstone
-- or lease that is here, stays out; and a lease is taken away.
-- KEYS[1] the key; ARGV[1] the TTL of a tombstone in ms; ARGV[2] 1 if Redis is to tell of the key also
-- if it holds nothing here; ARGV[3] a tombstone that keeps nothing out.
local head = redis.call('GETRANGE', KEYS[1], 0, 8)
if #head == 9 and struct.unpack('>I8', head, 2) > 0 then
  redis.call('SET', KEYS[1], 't' .. string.sub(head, 2, 9), 'PX', ARGV[1])
elseif ARGV[2] == '1' then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', 1)
else
  redis.call('UNLINK', KEYS[1])
end
return 1
