-- Write-behind: the queue's entry and the cache entry, both or neither; the cache entry only if
-- nothing newer is there. The place in the stream is the version: Redis lets places only grow.
-- KEYS[1] the key; KEYS[2] the stream; both in one slot.
-- ARGV[1] the entry, whose versions are written here; ARGV[2] its TTL in ms; ARGV[3] a version that
-- the write must be above; ARGV[4] the most writes that may wait; ARGV[5] places in a ms; ARGV[6] the
-- time in ms from which on the writer has gone another way; ARGV[7..] the write.
-- Returns {1 queued, 0 full or -1 too late, the version}.
local floor, places = tonumber(ARGV[3]), tonumber(ARGV[5])
-- A server that hung must not queue what its writer has given up and committed itself: with its late
-- version it would come over everything written since.
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[6]) then return {-1, 0} end
local full = redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4])
-- A full queue gives a place away and takes it back: so that a write past the queue has its order.
local function add(id)
  if full then
    id = redis.call('XADD', KEYS[2], id, 'place', '')
    redis.call('XDEL', KEYS[2], id)
  else
    id = redis.call('XADD', KEYS[2], id, unpack(ARGV, 7))
  end
  local ms, place = string.match(id, '(%d+)-(%d+)')
  return id, tonumber(ms), tonumber(place)
end
local id, ms, place = add('*')
if place >= places or ms * places + place <= floor then
  -- The server's clock stands still, or is behind ours.
  redis.call('XDEL', KEYS[2], id)
  ms = math.max(ms, math.floor(floor / places)) + 1
  id, ms, place = add(string.format('%.0f-0', ms))
end
local version = ms * places + place
if full then return {0, version} end
-- Only an empty queue may go away by itself.
redis.call('PERSIST', KEYS[2])
local head = redis.call('GETRANGE', KEYS[1], 0, 8)
if #head < 9 or struct.unpack('>I8', head, 2) <= version then
  local stamp = struct.pack('>I8', version)
  local entry = string.sub(ARGV[1], 1, 1) .. stamp .. stamp .. string.sub(ARGV[1], 18)
  redis.call('SET', KEYS[1], entry, 'PX', ARGV[2])
end
return {1, version}
