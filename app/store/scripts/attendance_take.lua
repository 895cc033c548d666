-- Returns changed days that are due to be published. They become due again later, in case the caller crashes.
-- KEYS 1 changed   ARGV 1 now (ms), 2 maximum number, 3 next due time (ms)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(found) do redis.call('ZADD', KEYS[1], ARGV[3], member) end
return found
