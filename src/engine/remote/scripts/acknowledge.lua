-- Takes committed writes out of the queue: the stream holds only what is still to do, so nothing ever
-- needs to be trimmed. An empty queue goes away after a while.
-- KEYS[1] the stream. ARGV[1] the group; ARGV[2] how long an empty stream stays, in ms; ARGV[3..] ids.
redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 3))
redis.call('XDEL', KEYS[1], unpack(ARGV, 3))
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
