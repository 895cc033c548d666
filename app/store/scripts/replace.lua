-- Puts a field with its value in the place of another field, unless that has been changed meanwhile.
-- KEYS 1 hash   ARGV 1 field, 2 its value as it was read, 3 the other field, 4 its value   Answers 1 or 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 1
