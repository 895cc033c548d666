-- Stores an event of the relay's own, if what was noted when it was thought of still is, and notes that it was.
-- KEYS 1 the hash that holds the note, 2 events, then its indexes
-- ARGV 1 field of the note, 2 what it must be ("" none), 3 what it is from now on ("" none), 4 seconds to keep the
--      hash ("" for ever), 5 body
-- Answers the event's entry, or false
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return false end
local id = redis.call('XADD', KEYS[2], '*', 'b', ARGV[5], 'r', '')
for k = 3, #KEYS do
  local added = redis.pcall('XADD', KEYS[k], id, '', '')
  if type(added) == 'table' and added.err then
    -- Taken back, since the next try publishes it again.
    for j = 2, #KEYS do redis.pcall('XDEL', KEYS[j], id) end
    return added
  end
end
-- Only now: were one of the keys above damaged, the event would be noted and nowhere.
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
if ARGV[4] ~= '' then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return id
