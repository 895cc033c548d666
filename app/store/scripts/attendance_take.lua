-- Days whose change is to be published; they come again later, should whoever takes them die.
-- KEYS 1 changed   ARGV 1 now (ms), 2 how many, 3 when they come again (ms)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(found) do redis.call('ZADD', KEYS[1], ARGV[3], member) end
return found
