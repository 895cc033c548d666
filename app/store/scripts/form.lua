-- Stores a batch of queued events before it is first sent, so that every attempt sends the same events.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 queue, 5 due, 6 batches
-- ARGV 1 lease token, 2 known version, 3 the batch's delivery, 4 its score in due, then the entries
-- Returns {writes}, 'lease' (another worker delivers now) or 'version' (subscriptions have changed)
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local entries = {}
for i = 5, #ARGV do entries[#entries + 1] = ARGV[i] end
redis.call('HSET', KEYS[6], ARGV[3], table.concat(entries, ' '))
redis.call('ZADD', KEYS[5], ARGV[4], ARGV[3])
-- Remove the events last. If one of the keys above is damaged, they must not get lost.
for i = 5, #ARGV do
  redis.call('XDEL', KEYS[4], ARGV[i])
  redis.call('ZREM', KEYS[5], ARGV[i])
end
return {redis.call('INCR', KEYS[2])}
