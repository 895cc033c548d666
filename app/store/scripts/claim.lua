-- Sets a key that always has an expiry, unless it is set. A key without one, or with a longer one than it can have, is
-- damaged (or the clock was set back): it is replaced, because it would otherwise be set for ever.
-- KEYS 1 key   ARGV 1 value, 2 expiry (ms), 3 the longest expiry that the key can have (ms)
-- Returns 1 if the key was set, 2 if a damaged one was replaced, 0 if it is set
local left = redis.call('PTTL', KEYS[1])
local was_set = left ~= -2
if was_set and left >= 0 and left <= tonumber(ARGV[3]) and redis.call('TYPE', KEYS[1]).ok == 'string' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return was_set and 2 or 1
