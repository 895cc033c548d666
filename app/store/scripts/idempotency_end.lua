-- Ends a request with an Idempotency-Key: saves its response, or releases the key. No effect if another request has it.
-- KEYS 1 key   ARGV 1 value while the request ran, 2 new value ("" removes it), 3 seconds to keep it   Returns 1 or 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return 1
