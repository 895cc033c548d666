-- Adds events to the queues of matching subscriptions and advances the position, atomically.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 fanout, 5 parked, then one queue per subscription
-- ARGV 1 lease token, 2 version used for matching, 3 new position ("" keeps it), 4 position that the reader expects,
--      then for each queue: number of entries, entry…
-- Returns {writes, {{index of queue, error} for each queue that can't be written}, 1 if the position was damaged},
-- 'lease' (another worker delivers now), 'version' (subscriptions have changed: match again), or {0} without writing, if
-- the position isn't the expected one because the store lost data: the reader then queues events from the earlier
-- position again. A damaged position is replaced by the expected one.
-- If there is no lease, it expired while the store was away, and still counts as this worker's.
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local position, damaged = redis.pcall('GET', KEYS[4]) or '0-0', 0
if type(position) == 'table' or not string.match(position, '^%d+%-%d+$') then
  position, damaged = ARGV[4], 1
  redis.call('SET', KEYS[4], position)
end
if position ~= ARGV[4] and position ~= ARGV[3] then return {0} end
local a, broken = 5, {}
for k = 6, #KEYS do
  local failure
  for i = a + 1, a + ARGV[a] do
    -- XADD refuses an entry that was queued before, so a repeated call is harmless.
    local added = redis.pcall('XADD', KEYS[k], ARGV[i], '', '')
    if type(added) == 'table' and added.err and string.find(added.err, 'WRONGTYPE', 1, true) then
      -- Record the range of these events in the same step, so that they are queued once the queue is repaired.
      local name = string.match(KEYS[k], ':sub:([^:]+):queue$')
      redis.pcall('HSETNX', KEYS[5], name .. ':from', ARGV[i])
      redis.pcall('HSET', KEYS[5], name .. ':to', ARGV[i])
      failure = added.err
    end
  end
  if failure then broken[#broken + 1] = {k - 5, failure} end
  a = a + 1 + ARGV[a]
end
if ARGV[3] ~= '' then redis.call('SET', KEYS[4], ARGV[3]) end
return {redis.call('INCR', KEYS[2]), broken, damaged}
