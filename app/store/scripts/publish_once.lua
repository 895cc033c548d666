-- Stores an event that the relay creates, if a marker hasn't changed since the decision, and updates the marker.
-- KEYS 1 the hash with the marker, 2 events, then its indexes
-- ARGV 1 field of the marker, 2 its expected value ("" if missing), 3 its new value ("" removes it), 4 seconds to keep
--      the hash ("" for ever), 5 body
-- Returns the event's entry, or false
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return false end
local id = redis.call('XADD', KEYS[2], '*', 'b', ARGV[5], 'r', '')
for k = 3, #KEYS do
  local added = redis.pcall('XADD', KEYS[k], id, '', '')
  if type(added) == 'table' and added.err then
    -- Undo, because the next attempt publishes it again.
    for j = 2, #KEYS do redis.pcall('XDEL', KEYS[j], id) end
    return added
  end
end
-- Update the marker last. If one of the keys above is damaged, the event must be published later.
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
if ARGV[4] ~= '' then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return id
