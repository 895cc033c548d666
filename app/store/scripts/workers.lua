-- Registers a dispatcher for some time, by the store's clock, because the clocks of several machines differ.
-- KEYS 1 workers   ARGV 1 token, 2 ms until it expires   Returns the number of registered dispatchers
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms = string.format('%.0f', now + ARGV[2])
redis.call('ZADD', KEYS[1], until_ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
-- No registration lasts longer. If one does, the clock was set back, and it doesn't count.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. until_ms, '+inf')
return redis.call('ZCARD', KEYS[1])
