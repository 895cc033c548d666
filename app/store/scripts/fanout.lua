-- Hands events to the queues of the subscriptions that take them, and moves on; both or neither.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 fanout, 5 parked, then a queue each
-- ARGV 1 lease token, 2 version that was matched against, 3 position to move to ("" stays), 4 position that the reader
--      knows of, then for each queue: how many, entry…
-- Answers {writes, {{which queue, error} for each that can't be written}}, 'lease' (another worker delivers now) or 'version' (subscriptions changed: match again);
-- {0}, and writes nothing, where the position is another, as the store has lost it: events before these are queued again.
-- Nobody's lease is still ours: it ran out while the store was away.
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local position = redis.call('GET', KEYS[4]) or '0-0'
if position ~= ARGV[4] and position ~= ARGV[3] then return {0} end
local a, broken = 5, {}
for k = 6, #KEYS do
  local failure
  for i = a + 1, a + ARGV[a] do
    -- Refused where it has been queued before: that makes a repeated call harmless.
    local added = redis.pcall('XADD', KEYS[k], ARGV[i], '', '')
    if type(added) == 'table' and added.err and string.find(added.err, 'WRONGTYPE', 1, true) then
      -- Noted in the same step, so that these events are found again once the queue is repaired.
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
return {redis.call('INCR', KEYS[2]), broken}
