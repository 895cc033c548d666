-- Gives an API key a new digest, unless its record has changed after it was read.
-- KEYS 1 API keys, 2 previous digests
-- ARGV 1 old digest, 2 its record as it was read, 3 new digest, 4 its record, 5 what to keep of the old digest ("" for nothing)
-- Returns 1 or 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[5]) end
return 1
