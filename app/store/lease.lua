-- Takes or keeps the right to deliver for a shard.   KEYS 1 lease   ARGV 1 token, 2 ms   Answers 1 where it is ours
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
