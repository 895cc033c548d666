-- Ends a command: its result, its place in the queue, its event, and a word to whoever waits for it.
-- KEYS 1 lease, 2 command, 3 queue, 4 busy, 5 waiting, 6 events, 7 by type, 8 by device[, 9 by user]
-- ARGV 1 lease token ("queued": no lease is needed, but that it was not sent), 2 command, 3 device, 4 seconds to keep it, 5 event, 6 channel, then field, value…
-- Answers 'ok', 'lease', or 'over'
local status = redis.call('HGET', KEYS[2], 'status')
if ARGV[1] == 'queued' then
  if status ~= 'queued' then return 'over' end
elseif (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then
  return 'lease'
end
if not status or status == 'completed' or status == 'failed' or status == 'unknown' or status == 'cancelled' then
  redis.call('LREM', KEYS[3], 0, ARGV[2])
  return 'over'
end
for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HDEL', KEYS[2], 'payload')
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('LREM', KEYS[3], 0, ARGV[2])
redis.call('ZREM', KEYS[5], ARGV[3] .. ' ' .. ARGV[2])
if redis.call('LLEN', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[3]) end
local id = redis.call('XADD', KEYS[6], '*', 'b', ARGV[5], 'r', '')
for k = 7, #KEYS do redis.call('XADD', KEYS[k], id, '', '') end
redis.call('PUBLISH', ARGV[6], ARGV[2])
return 'ok'
