-- Write-behind: the queue's entry and the cache entry, both or neither; the cache entry only if
-- nothing newer is there. KEYS[1] the key; KEYS[2] the stream; both in one slot.
-- ARGV[1] the entry; ARGV[2] its TTL in ms; ARGV[3] the stream's TTL in ms; ARGV[4..] the write.
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local head = redis.call('GETRANGE', KEYS[1], 0, 8)
if #head == 9 and struct.unpack('>I8', head, 2) > struct.unpack('>I8', ARGV[1], 2) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
