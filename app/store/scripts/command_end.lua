-- Ends a command: saves its result, removes it from the queue, publishes its event and notifies waiting callers.
-- KEYS 1 lease, 2 command, 3 queue, 4 busy, 5 waiting, 6 events, 7 by type, 8 by device[, 9 by user]
-- ARGV 1 lease token; or "queued" or "waiting", which need no lease, but the command must have that state,
--      2 command, 3 device, 4 seconds to keep it, 5 event, 6 channel, then field, value…
-- Returns 'ok', 'lease' (another worker has it), or 'over' (it has ended, or has another state)
local status = redis.call('HGET', KEYS[2], 'status')
if ARGV[1] == 'queued' then
  if status ~= 'queued' then return 'over' end
elseif ARGV[1] == 'waiting' then
  if status ~= 'waiting' and status ~= 'asking' then return 'over' end
elseif (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then
  return 'lease'
end
if not status or status == 'completed' or status == 'failed' or status == 'unknown' or status == 'cancelled' then
  redis.call('LREM', KEYS[3], 0, ARGV[2])
  return 'over'
end
-- Raise an error now if one of these keys is damaged. Later, the command would have ended, and nobody would try again.
redis.call('LLEN', KEYS[3])
redis.call('SCARD', KEYS[4])
redis.call('ZCARD', KEYS[5])
local id = redis.call('XADD', KEYS[6], '*', 'b', ARGV[5], 'r', '')
local failure
local function write(...)
  if failure then return end
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then failure = answer end
end
for k = 7, #KEYS do write('XADD', KEYS[k], id, '', '') end
local fields = {}
for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
write('HSET', KEYS[2], unpack(fields))
if failure then -- remove the event, because the next attempt publishes it again
  for k = 6, #KEYS do redis.pcall('XDEL', KEYS[k], id) end
  return failure
end
redis.call('HDEL', KEYS[2], 'payload')
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('LREM', KEYS[3], 0, ARGV[2])
redis.call('ZREM', KEYS[5], ARGV[3] .. ' ' .. ARGV[2])
if redis.call('LLEN', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[3]) end
redis.call('PUBLISH', ARGV[6], ARGV[2])
return 'ok'
