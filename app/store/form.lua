-- Makes a batch of queued events before it is first sent, so that it is the same on every try.
-- KEYS 1 lease, 2 queue, 3 due, 4 batches
-- ARGV 1 lease token, 2 the batch's delivery, 3 its place in the order, then the entries
-- Answers 'ok' or 'lease'
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local entries = {}
for i = 4, #ARGV do
  redis.call('XDEL', KEYS[2], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
  entries[#entries + 1] = ARGV[i]
end
redis.call('HSET', KEYS[4], ARGV[2], table.concat(entries, ' '))
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
return 'ok'
