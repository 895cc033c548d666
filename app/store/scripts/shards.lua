-- Saves the largest number of shards that the store was used with.   KEYS 1 shards   ARGV 1 present number
-- Returns the largest number so far
local known = tonumber(redis.call('GET', KEYS[1]) or '0') or 0 -- if it is damaged, ARGV 1 includes the shards in use
if tonumber(ARGV[1]) <= known then return known end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
