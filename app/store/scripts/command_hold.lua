-- Marks a command that the gateway holds for its device as waiting. The device's next command can then be sent.
-- KEYS 1 lease, 2 command, 3 queue, 4 busy, 5 waiting
-- ARGV 1 lease token, 2 command, 3 device, 4 when to request the result again (ms), 5 channel, then field, value…
-- Returns 'ok' or 'lease' (another worker has it)
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
redis.call('LLEN', KEYS[3])
-- Do this first, because the result of a waiting command that isn't listed here would never be requested.
redis.call('ZADD', KEYS[5], ARGV[4], ARGV[3] .. ' ' .. ARGV[2])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[2], 'status', 'waiting', 'next_poll_at', ARGV[4])
redis.call('LREM', KEYS[3], 0, ARGV[2])
if redis.call('LLEN', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[3]) end
redis.call('PUBLISH', ARGV[5], ARGV[2])
return 'ok'
