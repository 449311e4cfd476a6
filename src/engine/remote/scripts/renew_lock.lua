-- Holds a lock longer if it is ours. KEYS[1] the lock; ARGV[1] the token; ARGV[2] its TTL in ms.
if redis.call('GETRANGE', KEYS[1], 0, -1) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
