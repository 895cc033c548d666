-- Ends a request with an Idempotency-Key: keeps its answer, or forgets it. Does nothing if another one has the key.
-- KEYS 1 key   ARGV 1 value while it was running, 2 value to be ("" removes it), 3 seconds to keep it   Answers 1 or 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return 1
