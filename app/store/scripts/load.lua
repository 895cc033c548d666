-- Returns the next events of a queue with their bodies. An event that is no longer stored has no body.
-- KEYS 1 queue, 2 events   ARGV 1 previous entry, 2 maximum number   Returns {{entry, b, r, x or false} or {entry}, …}
local answer = {}
for i, queued in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  local found = redis.call('XRANGE', KEYS[2], queued[1], queued[1])[1]
  if found then
    local fields = found[2]
    answer[i] = {queued[1], fields[2] or '', fields[4] or '', fields[6] or false}
  else
    answer[i] = {queued[1]}
  end
end
return answer
