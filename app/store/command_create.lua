-- Stores a command and queues it at its device; a second time does nothing.
-- KEYS 1 command, 2 queue, 3 busy, 4 wake, 5 index, 6 the device's index
-- ARGV 1 command, 2 device, then field, value…   Answers 1, or 0 where it is there already
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', 'device', ARGV[2])
redis.call('XADD', KEYS[5], '*', 'c', ARGV[1])
redis.call('XADD', KEYS[6], '*', 'c', ARGV[1])
return 1
