-- Lets deliveries be attempted anew, from the first attempt on, in the order of their receipt.
-- KEYS 1 due, 2 retry, 3 dead, 4 state, 5 wake   ARGV 1 subscription, then the deliveries
for i = 2, #ARGV do
  local delivery = ARGV[i]
  local ms, sequence = string.match(delivery, '^(%d+)-(%d+)')
  redis.call('ZREM', KEYS[2], delivery)
  redis.call('ZREM', KEYS[3], delivery)
  redis.call('HDEL', KEYS[4], delivery)
  redis.call('ZADD', KEYS[1], string.format('%.0f', ms * 1000 + math.min(sequence, 999)), delivery)
end
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 1000, '*', 'due', ARGV[1])
return #ARGV - 1
