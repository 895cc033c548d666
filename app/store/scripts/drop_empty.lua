-- Removes a stream that has no entry left.   KEYS 1 stream   Answers 1 or 0
if redis.call('XLEN', KEYS[1]) == 0 then return redis.call('DEL', KEYS[1]) end
return 0
