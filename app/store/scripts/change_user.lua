-- Changes a user's stored data, unless the device or the user has changed after it was read.
-- KEYS 1 device, 2 user, 3 the device's users
-- ARGV 1 version of the device's record, 2 expected version of the user, 3 user ID, 4 1|0 name changed,
--      5 1|0 user exists, 6 seconds to keep the record if not, 7 n, field, value…, m, field to remove…
-- Returns 'ok', 'device' or 'user' (read it again)
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 'device' end
if (redis.call('HGET', KEYS[2], 'v') or '0') ~= ARGV[2] then return 'user' end
redis.call('ZCARD', KEYS[3]) -- raises an error now if it is damaged
local sets = 7 + 2 * tonumber(ARGV[7])
if sets + 1 == #ARGV and sets == 7 then return 'ok' end
redis.call('HINCRBY', KEYS[2], 'v', 1)
for i = sets + 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
for i = 8, sets, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
if ARGV[5] == '1' then
  redis.call('PERSIST', KEYS[2])
  redis.call('ZADD', KEYS[3], 0, ARGV[3])
else
  redis.call('EXPIRE', KEYS[2], ARGV[6])
  redis.call('ZREM', KEYS[3], ARGV[3])
end
if ARGV[4] == '1' then redis.call('HINCRBY', KEYS[1], 'n', 1) end
return 'ok'
