-- The entry, or a lease to load it, or the word that another has the lease.
-- KEYS[1] the key; ARGV[1] the lease as asked for; ARGV[2] its TTL in ms.
-- Returns {0, entry}, {1, ''} granted or {2, ''} taken.
local held = redis.call('GET', KEYS[1])
local kind = held and string.sub(held, 1, 1)
if kind == 'l' then return {2, ''} end
if held and kind ~= 't' then return {0, held} end
local lease = ARGV[1]
-- The tombstone's floor goes on in the lease: nothing read before it may be filled.
if held then lease = 'l' .. string.sub(held, 2, 9) .. string.sub(ARGV[1], 10) end
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return {1, ''}
