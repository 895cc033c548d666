-- Returns the stored bodies of events in the given order; false for an event that is no longer stored.
-- KEYS 1 events   ARGV entry IDs   Returns {{b, r, x or false} or false, …}
local answer = {}
for i = 1, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if found then
    local fields = found[2]
    answer[i] = {fields[2] or '', fields[4] or '', fields[6] or false}
  else
    answer[i] = false
  end
end
return answer
