-- Queues a command that the gateway holds, so that its result is requested again.
-- KEYS 1 command, 2 queue, 3 busy, 4 waiting, 5 wake   ARGV 1 command, 2 device   Returns 1, or 0 if it isn't held
if redis.call('HGET', KEYS[1], 'status') ~= 'waiting' then
  redis.call('ZREM', KEYS[4], ARGV[2] .. ' ' .. ARGV[1])
  return 0
end
-- Remove it from the waiting commands last. If it were in no queue then, its result would never be requested again.
redis.call('RPUSH', KEYS[2], ARGV[1])
local answer = redis.pcall('SADD', KEYS[3], ARGV[2])
if type(answer) ~= 'table' then answer = redis.pcall('HSET', KEYS[1], 'status', 'asking') end
if type(answer) == 'table' then
  redis.pcall('LREM', KEYS[2], -1, ARGV[1])
  return answer
end
redis.call('ZREM', KEYS[4], ARGV[2] .. ' ' .. ARGV[1])
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 1000, '*', 'device', ARGV[2])
return 1
