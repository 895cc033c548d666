-- Moves deliveries whose retry time has come from retry to due, in the order of receipt.
-- KEYS 1 retry, 2 due, 3 health, 4 wake   ARGV 1 latest retry time (ms), 2 subscription
-- Returns {when to schedule the next retry job (ms; 0 for none), when it was scheduled before (ms)}
local scheduled = tonumber(redis.call('HGET', KEYS[3], 'retry_job_at') or '0') or 0
for _, delivery in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])) do
  local ms, sequence = string.match(delivery, '^(%d+)-(%d+)')
  redis.call('ZADD', KEYS[2], string.format('%.0f', ms * 1000 + math.min(sequence, 999)), delivery)
  redis.call('ZREM', KEYS[1], delivery)
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', 'due', ARGV[2])
local earliest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if not earliest then
  redis.call('HDEL', KEYS[3], 'retry_job_at')
  return {0, scheduled}
end
redis.call('HSET', KEYS[3], 'retry_job_at', string.format('%.0f', tonumber(earliest)))
return {tonumber(earliest), scheduled}
