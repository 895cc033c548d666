-- Writes down what became of attempts to one subscription's target, each by itself.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 queue, 5 due, 6 retry, 7 dead, 8 state, 9 batches, 10 tests,
--      11 health, 12 log
-- ARGV 1 lease token, 2 version that is known, 3 now (ms), 4 failures in a row, 5 failing since (s, "" not),
--      6 paused until (s, "" not), then for each attempt (10):
--   delivered|retry|dead|dropped, delivery, 1|0 first attempt from the queue, number of the attempt, HTTP status,
--   duration (ms), error, events in it, next attempt (ms), attempts so far (JSON, "" none)
-- Answers 'lease', 'version' (so that nothing is left of a subscription that was removed), or {writes, when (ms) a
-- retry job has to be scheduled for (0 for not at all), when the one is that it replaces}
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local writes, retried = redis.call('INCR', KEYS[2]), false
for a = 7, #ARGV, 10 do
  local what, delivery, attempts = ARGV[a], ARGV[a + 1], ARGV[a + 9]
  if ARGV[a + 2] == '1' then
    redis.call('XDEL', KEYS[4], delivery)
  else
    redis.call('ZREM', KEYS[5], delivery)
  end
  if what == 'retry' then
    redis.call('ZADD', KEYS[6], ARGV[a + 8], delivery)
    redis.call('HSET', KEYS[8], delivery, attempts)
    retried = true
  elseif what == 'dead' then
    redis.call('ZADD', KEYS[7], ARGV[3], delivery)
    redis.call('HSET', KEYS[8], delivery, attempts)
  elseif ARGV[a + 2] ~= '1' then
    redis.call('HDEL', KEYS[8], delivery)
    redis.call('HDEL', KEYS[9], delivery)
    redis.call('HDEL', KEYS[10], delivery)
  end
  redis.call('HINCRBY', KEYS[11], what, 1)
  if attempts == '' then
    redis.call('XADD', KEYS[12], '*', 'd', delivery, 'x', what, 'n', ARGV[a + 3], 's', ARGV[a + 4],
      't', ARGV[a + 5], 'e', ARGV[a + 6], 'c', ARGV[a + 7])
  else
    redis.call('XADD', KEYS[12], '*', 'd', delivery, 'x', what, 'n', ARGV[a + 3], 's', ARGV[a + 4],
      't', ARGV[a + 5], 'e', ARGV[a + 6], 'c', ARGV[a + 7], 'w', ARGV[a + 8], 'h', attempts)
  end
end
redis.call('HSET', KEYS[11], 'failures', ARGV[4], 'failing_since', ARGV[5], 'paused_until', ARGV[6])
if not retried then return {writes, 0, 0} end
local earliest = tonumber(redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')[2])
local scheduled = tonumber(redis.call('HGET', KEYS[11], 'retry_job_at') or '0')
if scheduled > 0 and scheduled <= earliest then return {writes, 0, 0} end
redis.call('HSET', KEYS[11], 'retry_job_at', string.format('%.0f', earliest))
return {writes, earliest, scheduled}
