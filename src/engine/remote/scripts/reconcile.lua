-- Puts the generations that an instance knows together with those that are here: the greater of
-- each holds, on both sides.
-- KEYS[1] the generations, a hash of scope -> generation. ARGV[1] its TTL in ms; ARGV[2..] what the
-- instance knows: scope, generation, scope, generation, …
-- Returns what is newer here, in the same form.
local held, reply = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #reply, 2 do held[reply[i]] = tonumber(reply[i + 1]) end
if #reply == 0 and #ARGV == 1 then
  -- Nobody knows anything, so what was outdated may have been forgotten: everything is.
  local time = redis.call('TIME')
  held['*'] = time[1] * 1000000 + time[2]
  redis.call('HSET', KEYS[1], '*', string.format('%.0f', held['*']))
end
local known = {}
for i = 2, #ARGV, 2 do
  local scope, generation = ARGV[i], tonumber(ARGV[i + 1])
  known[scope] = generation
  if generation > (held[scope] or 0) then
    held[scope] = generation
    redis.call('HSET', KEYS[1], scope, ARGV[i + 1])
  end
end
local newer = {}
for scope, generation in pairs(held) do
  local of = string.match(scope, '^(%d+) ')
  local wider = scope ~= '*' and math.max(held['*'] or 0, of and held[of] or 0) or 0
  if generation <= wider then
    -- A wider scope says the same and more.
    redis.call('HDEL', KEYS[1], scope)
  elseif generation > (known[scope] or 0) then
    newer[#newer + 1] = scope
    newer[#newer + 1] = string.format('%.0f', generation)
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return newer
