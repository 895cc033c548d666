-- Saves the results of attempts to deliver to one subscription's target.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 queue, 5 due, 6 retry, 7 dead, 8 state, 9 batches, 10 tests,
--      11 health, 12 log, 13 answers, 14 settled
-- ARGV 1 lease token, 2 known version, 3 now (ms), 4 consecutive failures, 5 failing since (s), 6 paused until (s),
--      7 failing for (s), 8 last failed at (s), each of 5 to 8 "" if it doesn't apply,
--      then for each attempt 12 values:
--   delivered|retry|dead|dropped, delivery, 1|0 first attempt from the queue, number of the attempt, HTTP status,
--   duration (ms), error, number of events, next attempt (ms), earlier attempts (JSON, "" for none), trigger ("" if
--   the number determines it), the target's response (JSON, "" for none)
-- Returns 'lease' (another worker delivers now), 'version' (subscriptions have changed; this one may be deleted, and
-- nothing must be written for it), or {writes, when to schedule a retry job (ms; 0 for none), the time of the retry job
-- that it replaces, 1 if a damaged counter was replaced}
local MOST_ANSWERS, MOST_SETTLED = 1000, 20000
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
local writes, retried, settled, damaged = redis.call('INCR', KEYS[2]), false, false, 0
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
  -- Remove the delivery last. If one of the keys above is damaged, it must not get lost.
  if ARGV[a + 2] == '1' then
    redis.call('XDEL', KEYS[4], delivery)
  else
    redis.call('ZREM', KEYS[5], delivery)
  end
  if type(redis.pcall('HINCRBY', KEYS[11], what, 1)) == 'table' then -- an error
    redis.call('HSET', KEYS[11], what, 1) -- it isn't a number, so it starts again; another type is an error here, too
    damaged = 1
  end
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
  -- Record its position in the log, which isn't close to its time of receipt, as it is for a first attempt.
  if ended then
    redis.call('ZADD', KEYS[14], string.match(entry, '^%d+'), delivery)
    settled = true
  end
end
if settled then redis.call('ZREMRANGEBYRANK', KEYS[14], 0, -MOST_SETTLED - 1) end
redis.call('HSET', KEYS[11], 'failures', ARGV[4], 'failing_since', ARGV[5], 'paused_until', ARGV[6],
  'failing_for', ARGV[7], 'failed_at', ARGV[8])
if not retried then return {writes, 0, 0, damaged} end
local earliest = tonumber(redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')[2])
local scheduled = tonumber(redis.call('HGET', KEYS[11], 'retry_job_at') or '0') or 0
if scheduled > 0 and scheduled <= earliest then return {writes, 0, 0, damaged} end
redis.call('HSET', KEYS[11], 'retry_job_at', string.format('%.0f', earliest))
return {writes, earliest, scheduled, damaged}
