-- Removes a day from the changed days, or postpones it, unless it has changed again since it was taken.
-- KEYS 1 changed   ARGV 1 member, 2 its due time when it was taken (ms), 3 its next due time (ms; "" for never)
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
return 1
