-- Stores an event that the relay creates.   KEYS 1 events, then its indexes   ARGV 1 body   Returns its entry
local id = redis.call('XADD', KEYS[1], '*', 'b', ARGV[1], 'r', '')
for k = 2, #KEYS do
  local added = redis.pcall('XADD', KEYS[k], id, '', '')
  if type(added) == 'table' and added.err then -- undo, because the event would be missing from this index
    for j = 1, #KEYS do redis.pcall('XDEL', KEYS[j], id) end
    return added
  end
end
return id
