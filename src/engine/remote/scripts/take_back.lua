-- Takes over what was delivered and never acknowledged. XAUTOCLAIM does not tell how often an entry
-- was delivered, and counts a delivery for the neighbours of one that kills its consumers; so this
-- looks first (XPENDING) and claims then.
-- KEYS[1] the stream. ARGV[1] the group; ARGV[2] this consumer; ARGV[3] the least idle time in ms, or
-- -1 for this consumer's own; ARGV[4] the most; ARGV[5] delivered so often, an entry comes alone.
-- Returns {{{id, fields, deliveries}, ...}, how many were pending but are not in the stream}.
local mine = tonumber(ARGV[3]) < 0
local idle = mine and '0' or ARGV[3]
local ask = {'XPENDING', KEYS[1], ARGV[1], 'IDLE', idle, '-', '+', ARGV[4]}
if mine then ask[#ask + 1] = ARGV[2] end
local pending = redis.call(unpack(ask))
local ids, delivered = {}, {}
for _, one in ipairs(pending) do
  local alone = one[4] >= tonumber(ARGV[5])
  if alone and #ids > 0 then break end
  ids[#ids + 1] = one[1]
  delivered[one[1]] = one[4] + 1
  if alone then break end
end
if #ids == 0 then return {{}, 0} end
local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], idle, unpack(ids))
local given = {}
for _, entry in ipairs(claimed) do
  if entry then given[#given + 1] = {entry[1], entry[2], delivered[entry[1]]} end
end
return {given, #ids - #given}
