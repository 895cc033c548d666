-- Remembers the largest number of shards that the store has been used with.   KEYS 1 shards   ARGV 1 a number
-- Answers the largest so far
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) <= known then return known end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
