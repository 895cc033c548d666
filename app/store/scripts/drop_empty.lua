-- Removes a stream if it has no entries.   KEYS 1 stream   Returns 1 or 0
if redis.call('XLEN', KEYS[1]) == 0 then return redis.call('DEL', KEYS[1]) end
return 0
