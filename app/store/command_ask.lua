-- Queues a command that the gateway holds, to be asked for again.
-- KEYS 1 command, 2 queue, 3 busy, 4 waiting, 5 wake   ARGV 1 command, 2 device   Answers 1, or 0 where it isn't held
redis.call('ZREM', KEYS[4], ARGV[2] .. ' ' .. ARGV[1])
if redis.call('HGET', KEYS[1], 'status') ~= 'waiting' then return 0 end
redis.call('HSET', KEYS[1], 'status', 'asking')
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 1000, '*', 'device', ARGV[2])
return 1
