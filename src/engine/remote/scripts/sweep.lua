-- Removes an entry that a scan has found. A tombstone stays, because it keeps out values that were
-- read before it; of a lease its tombstone stays, and the right to fill is gone.
-- KEYS[1] the key. Returns 1 if something was removed.
local head = redis.call('GETRANGE', KEYS[1], 0, 8)
local kind = string.sub(head, 1, 1)
if kind == 't' then return 0 end
if kind == 'l' and struct.unpack('>I8', head, 2) > 0 then
  redis.call('SET', KEYS[1], 't' .. string.sub(head, 2, 9), 'KEEPTTL')
  return 1
end
return redis.call('UNLINK', KEYS[1])
