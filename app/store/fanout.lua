-- Hands events to the queues of the subscriptions that take them, and moves on; both or neither.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 fanout, then a queue each
-- ARGV 1 lease token, 2 version that was matched against, 3 position to move to ("" stays), then for each queue:
--      how many, entry…
-- Answers {writes}, 'lease' (another worker delivers now) or 'version' (subscriptions changed: match again)
-- Nobody's lease is still ours: it ran out while the store was away.
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local a = 4
for k = 5, #KEYS do
  for i = a + 1, a + ARGV[a] do
    -- Refused where it has been queued before: that makes a repeated call harmless.
    redis.pcall('XADD', KEYS[k], ARGV[i], '', '')
  end
  a = a + 1 + ARGV[a]
end
if ARGV[3] ~= '' then redis.call('SET', KEYS[4], ARGV[3]) end
return {redis.call('INCR', KEYS[2])}
