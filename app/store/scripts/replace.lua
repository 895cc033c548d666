-- Replaces a field of a hash with another field, unless its value has changed after it was read.
-- KEYS 1 hash   ARGV 1 old field, 2 its value as it was read, 3 new field, 4 its value   Returns 1 or 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 1
