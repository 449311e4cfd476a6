-- Gives a lock back if it is ours, and wakes who waits.
-- KEYS[1] the lock; ARGV[1] the token; ARGV[2] the channel; ARGV[3] the notice.
if redis.call('GETRANGE', KEYS[1], 0, -1) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', ARGV[2], ARGV[3])
  return 1
end
return 0
