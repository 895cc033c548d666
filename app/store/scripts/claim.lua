-- Sets a key that always has an expiry, unless it is set. A key without one is damaged. If the expiry is longer than it
-- can be, the clock was set back. Both are replaced, because they would otherwise be set for ever or for too long.
-- KEYS 1 key   ARGV 1 value, 2 expiry (ms), 3 the longest expiry that the key can have (ms)
-- Returns 1 if the key was set, 2 if a damaged one was replaced, 0 if it is set
local left = redis.call('PTTL', KEYS[1])
local is_damaged = left == -1 or left >= 0 and redis.call('TYPE', KEYS[1]).ok ~= 'string'
if left >= 0 and left <= tonumber(ARGV[3]) and not is_damaged then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return is_damaged and 2 or 1
