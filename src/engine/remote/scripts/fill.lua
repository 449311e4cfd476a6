-- Stores an entry unless something read or invalidated later is there.
-- KEYS[1] the key; ARGV[1] the entry; ARGV[2] its TTL in ms.
-- Returns 1 if stored, 0 if refused. Bytes 2..9 of a value are its "as of" (see wire.rs).
local head = redis.call('GETRANGE', KEYS[1], 0, 8)
if #head == 9 and struct.unpack('>I8', head, 2) > struct.unpack('>I8', ARGV[1], 2) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
