-- Stores a command and queues it for its device. Repeating the call has no effect.
-- KEYS 1 command, 2 queue, 3 busy, 4 wake, 5 index, 6 the device's index
-- ARGV 1 command, 2 device, then field, value…   Returns 1, or 0 if the command exists already
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local failure
local function write(...)
  if failure then return end
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then failure = answer end
  return answer
end
for i = 3, #ARGV, 2 do write('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
write('RPUSH', KEYS[2], ARGV[1])
write('SADD', KEYS[3], ARGV[2])
local listed = write('XADD', KEYS[5], '*', 'c', ARGV[1])
local listed_there = write('XADD', KEYS[6], '*', 'c', ARGV[1])
write('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', 'device', ARGV[2])
if failure then -- undo everything, because a stored command that isn't queued would never end
  redis.pcall('DEL', KEYS[1])
  redis.pcall('LREM', KEYS[2], 0, ARGV[1])
  if type(listed) == 'string' then redis.pcall('XDEL', KEYS[5], listed) end
  if type(listed_there) == 'string' then redis.pcall('XDEL', KEYS[6], listed_there) end
  return failure
end
return 1
