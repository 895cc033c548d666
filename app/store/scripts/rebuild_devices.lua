-- Replaces the list of devices if it has another type.   KEYS 1 devices   ARGV device, shard, device, shard…
-- Returns 1, or 0 if it is a hash, for example because another process has replaced it
if redis.call('TYPE', KEYS[1]).ok == 'hash' then return 0 end
redis.call('DEL', KEYS[1])
for i = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
