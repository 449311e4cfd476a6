-- Moves a write to the dead letters, as it is: out of the queue and in there, or neither.
-- KEYS[1] the stream; KEYS[2] the dead letters; both in one slot.
-- ARGV[1] the group; ARGV[2] the id; ARGV[3] the reason; ARGV[4] how often it was delivered.
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
if #found > 0 then
  redis.call('XADD', KEYS[2], '*', 'place', ARGV[2], 'reason', ARGV[3], 'deliveries', ARGV[4],
    unpack(found[1][2]))
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return #found
