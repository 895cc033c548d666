-- Writes down what became of attempts to one subscription's target, each by itself.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 queue, 5 due, 6 retry, 7 dead, 8 state, 9 batches, 10 tests,
--      11 health, 12 log, 13 answers, 14 settled
-- ARGV 1 lease token, 2 version that is known, 3 now (ms), 4 failures in a row, 5 failing since (s, "" not),
--      6 paused until (s, "" not), 7 failing for (s, "" not), 8 failed last (s, "" not),
--      then for each attempt (12):
--   delivered|retry|dead|dropped, delivery, 1|0 first attempt from the queue, number of the attempt, HTTP status,
--   duration (ms), error, events in it, next attempt (ms), attempts so far (JSON, "" none), why it was made ("" as its
--   number says), what the target answered (JSON, "" nothing)
-- Answers 'lease', 'version' (so that nothing is left of a subscription that was removed), or {writes, when (ms) a
-- retry job has to be scheduled for (0 for not at all), when the one is that it replaces}
local MOST_ANSWERS, MOST_SETTLED = 1000, 20000
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local writes, retried, settled = redis.call('INCR', KEYS[2]), false, false
for a = 9, #ARGV, 12 do
  local what, delivery, attempts, mark, answer = ARGV[a], ARGV[a + 1], ARGV[a + 9], ARGV[a + 10], ARGV[a + 11]
  local ended = false
  if what == 'retry' then
    redis.call('ZADD', KEYS[6], ARGV[a + 8], delivery)
    redis.call('HSET', KEYS[8], delivery, attempts)
    retried = true
  elseif what == 'dead' then
    redis.call('ZADD', KEYS[7], ARGV[3], delivery)
    redis.call('HSET', KEYS[8], delivery, attempts)
  elseif ARGV[a + 2] ~= '1' then
    ended = true
    for part = 8, 10 do redis.call('HDEL', KEYS[part], delivery) end
    redis.call('HDEL', KEYS[13], delivery)
  end
  if answer ~= '' and
      (redis.call('HLEN', KEYS[13]) < MOST_ANSWERS or redis.call('HEXISTS', KEYS[13], delivery) == 1) then
    redis.call('HSET', KEYS[13], delivery, answer)
  end
  -- Only now: were one of the keys above damaged, the delivery would be nowhere.
  if ARGV[a + 2] == '1' then
    redis.call('XDEL', KEYS[4], delivery)
  else
    redis.call('ZREM', KEYS[5], delivery)
  end
  redis.call('HINCRBY', KEYS[11], what, 1)
  local entry
  if attempts == '' and mark == '' then
    entry = redis.call('XADD', KEYS[12], '*', 'd', delivery, 'x', what, 'n', ARGV[a + 3], 's', ARGV[a + 4],
      't', ARGV[a + 5], 'e', ARGV[a + 6], 'c', ARGV[a + 7])
  else
    local more = {}
    if attempts ~= '' then more = {'w', ARGV[a + 8], 'h', attempts} end
    if mark ~= '' then
      more[#more + 1] = 'g'
      more[#more + 1] = mark
    end
    entry = redis.call('XADD', KEYS[12], '*', 'd', delivery, 'x', what, 'n', ARGV[a + 3], 's', ARGV[a + 4],
      't', ARGV[a + 5], 'e', ARGV[a + 6], 'c', ARGV[a + 7], unpack(more))
  end
  -- Where it is in the log: not, as of a first attempt, soon after its receipt.
  if ended then
    redis.call('ZADD', KEYS[14], string.match(entry, '^%d+'), delivery)
    settled = true
  end
end
if settled then redis.call('ZREMRANGEBYRANK', KEYS[14], 0, -MOST_SETTLED - 1) end
redis.call('HSET', KEYS[11], 'failures', ARGV[4], 'failing_since', ARGV[5], 'paused_until', ARGV[6],
  'failing_for', ARGV[7], 'failed_at', ARGV[8])
if not retried then return {writes, 0, 0} end
local earliest = tonumber(redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')[2])
local scheduled = tonumber(redis.call('HGET', KEYS[11], 'retry_job_at') or '0')
if scheduled > 0 and scheduled <= earliest then return {writes, 0, 0} end
redis.call('HSET', KEYS[11], 'retry_job_at', string.format('%.0f', earliest))
return {writes, earliest, scheduled}
