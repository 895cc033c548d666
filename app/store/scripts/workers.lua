-- Says that a dispatcher is here, by the store's clock: those of several machines differ.
-- KEYS 1 workers   ARGV 1 token, 2 ms that it counts for   Answers how many dispatchers are here
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms = string.format('%.0f', now + ARGV[2])
redis.call('ZADD', KEYS[1], until_ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
-- Nobody says so for longer: it was said before the clock was set back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. until_ms, '+inf')
return redis.call('ZCARD', KEYS[1])
