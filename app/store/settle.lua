-- Writes down what became of attempts to one subscription's target, each by itself.
-- KEYS 1 lease, 2 queue, 3 due, 4 retry, 5 dead, 6 state, 7 batches, 8 tests, 9 health, 10 log
-- ARGV 1 lease token, 2 now (ms), 3 failures in a row, 4 failing since (s, "" not), then for each attempt (10):
--   delivered|retry|dead|dropped, delivery, 1|0 first attempt from the queue, number of the attempt, HTTP status,
--   duration (ms), error, events in it, next attempt (ms), attempts so far (JSON, "" none)
-- Answers 'lease', or when (ms) a retry job has to be scheduled for, 0 for not at all
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
local retried = false
for a = 5, #ARGV, 10 do
  local what, delivery, attempts = ARGV[a], ARGV[a + 1], ARGV[a + 9]
  if ARGV[a + 2] == '1' then
    redis.call('XDEL', KEYS[2], delivery)
  else
    redis.call('ZREM', KEYS[3], delivery)
  end
  if what == 'retry' then
    redis.call('ZADD', KEYS[4], ARGV[a + 8], delivery)
    redis.call('HSET', KEYS[6], delivery, attempts)
    retried = true
  elseif what == 'dead' then
    redis.call('ZADD', KEYS[5], ARGV[2], delivery)
    redis.call('HSET', KEYS[6], delivery, attempts)
  elseif ARGV[a + 2] ~= '1' then
    redis.call('HDEL', KEYS[6], delivery)
    redis.call('HDEL', KEYS[7], delivery)
    redis.call('HDEL', KEYS[8], delivery)
  end
  redis.call('HINCRBY', KEYS[9], what, 1)
  if attempts == '' then
    redis.call('XADD', KEYS[10], '*', 'd', delivery, 'x', what, 'n', ARGV[a + 3], 's', ARGV[a + 4],
      't', ARGV[a + 5], 'e', ARGV[a + 6], 'c', ARGV[a + 7])
  else
    redis.call('XADD', KEYS[10], '*', 'd', delivery, 'x', what, 'n', ARGV[a + 3], 's', ARGV[a + 4],
      't', ARGV[a + 5], 'e', ARGV[a + 6], 'c', ARGV[a + 7], 'w', ARGV[a + 8], 'h', attempts)
  end
end
redis.call('HSET', KEYS[9], 'failures', ARGV[3], 'failing_since', ARGV[4])
if not retried then return 0 end
local earliest = tonumber(redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2])
local scheduled = tonumber(redis.call('HGET', KEYS[9], 'retry_job_at') or '0')
if scheduled > 0 and scheduled <= earliest then return 0 end
redis.call('HSET', KEYS[9], 'retry_job_at', string.format('%.0f', earliest))
return earliest
