-- Stores an entry unless something read or invalidated later is there. If it replaces an entry, its
-- end stays where it was: a write does not make a session live longer.
-- KEYS[1] the key; ARGV[1] the entry; ARGV[2] its TTL in ms. Bytes 2..9 of a value are its "as of",
-- bytes 34..41 of an entry its end in ns (see wire.rs). Returns 1 if stored, 0 if refused.
local head = redis.call('GETRANGE', KEYS[1], 0, 40)
if #head >= 9 and struct.unpack('>I8', head, 2) > struct.unpack('>I8', ARGV[1], 2) then
  return 0
end
local entry = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function left(value) return math.floor(struct.unpack('>I8', value, 34) / 1000000) - now end
if string.sub(head, 1, 1) == 'e' and left(head) > 0 and left(head) < left(entry) then
  entry = string.sub(entry, 1, 33) .. string.sub(head, 34, 41) .. string.sub(entry, 42)
end
local ttl = math.min(tonumber(ARGV[2]), left(entry))
if ttl <= 0 then
  redis.call('UNLINK', KEYS[1])
  return 1
end
redis.call('SET', KEYS[1], entry, 'PX', ttl)
return 1
