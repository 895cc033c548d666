-- Moves the data of a deleted subscription on a shard to the new subscription that replaces it, atomically.
-- KEYS 1 lease, 2 writes, 3 subscriptions' version, 4 fanout, 5 parked, 6 health of the new one, then pairs of keys of
--      the deleted and the new subscription; the queues come first
-- ARGV 1 lease token, 2 known version, 3 position of the fan-out up to which the events below were read, 4 deleted
--      subscription, 5 new subscription, 6 increment of the version, then entries of events since the deletion
-- Returns {writes}, 'lease' (another worker delivers now), or 'version' (subscriptions or the position have changed)
-- The version is increased, so that no worker fans out events with the subscriptions that it read before.
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] then return 'version' end
if (redis.call('GET', KEYS[4]) or '0-0') ~= ARGV[3] then return 'version' end
local function merge(kind, from, to)
  if kind == 'hash' then
    local found = redis.call('HGETALL', from)
    for i = 1, #found, 2 do redis.call('HSETNX', to, found[i], found[i + 1]) end
  elseif kind == 'zset' then
    local found = redis.call('ZRANGE', from, 0, -1, 'WITHSCORES')
    for i = 1, #found, 2 do redis.call('ZADD', to, 'NX', found[i + 1], found[i]) end
  elseif kind == 'stream' then
    local later = redis.call('XRANGE', to, '-', '+')
    redis.call('RENAME', from, to)
    for _, row in ipairs(later) do redis.pcall('XADD', to, row[1], unpack(row[2])) end
    return
  end
  redis.call('DEL', from)
end
for k = 7, #KEYS, 2 do
  local kind, there = redis.call('TYPE', KEYS[k]).ok, redis.call('TYPE', KEYS[k + 1]).ok
  if kind ~= 'none' then
    if kind == there then
      merge(kind, KEYS[k], KEYS[k + 1])
    else
      redis.call('RENAME', KEYS[k], KEYS[k + 1])
    end
  end
end
for i = 7, #ARGV do
  -- XADD refuses an entry that was queued before. A damaged queue is detected when it is read, and then parked.
  redis.pcall('XADD', KEYS[8], ARGV[i], '', '')
end
for _, suffix in ipairs({'', ':from', ':to'}) do
  local note = redis.call('HGET', KEYS[5], ARGV[4] .. suffix)
  if note then
    redis.call('HSETNX', KEYS[5], ARGV[5] .. suffix, note)
    redis.call('HDEL', KEYS[5], ARGV[4] .. suffix)
  end
end
-- The new subscription starts without the failures of the deleted one.
redis.pcall('HDEL', KEYS[6], 'failures', 'failing_since', 'paused_until', 'failing_for', 'failed_at', 'retry_job_at')
redis.pcall('HSET', KEYS[6], 'took_over', ARGV[4])
redis.call('INCRBY', KEYS[3], ARGV[6])
return {redis.call('INCR', KEYS[2])}
