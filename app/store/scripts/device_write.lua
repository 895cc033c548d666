-- Writes a device's record and secrets, unless they were changed or removed after they were read.
-- KEYS 1 device
-- ARGV 1 record and 2 secrets as they were read ("" if there were none), 3 new record, 4 new secrets,
--      5 first version ("" to increment the present one)
-- Returns 1 or 0
local kept = redis.call('HMGET', KEYS[1], 'record', 'secrets')
if (kept[1] or '') ~= ARGV[1] or (kept[2] or '') ~= ARGV[2] then return 0 end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'v', ARGV[5]) end
redis.call('HSET', KEYS[1], 'record', ARGV[3], 'secrets', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'v', 1)
return 1
