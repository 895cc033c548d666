-- Writes a device's record and secrets, unless they have been changed or removed meanwhile.
-- KEYS 1 device
-- ARGV 1 record, 2 secrets as they were read ("": there were none), 3 record, 4 secrets to be,
--      5 version to begin with ("": the present one)
-- Answers 1 or 0
local kept = redis.call('HMGET', KEYS[1], 'record', 'secrets')
if (kept[1] or '') ~= ARGV[1] or (kept[2] or '') ~= ARGV[2] then return 0 end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'v', ARGV[5]) end
redis.call('HSET', KEYS[1], 'record', ARGV[3], 'secrets', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'v', 1)
return 1
