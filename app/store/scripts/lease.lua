-- Takes or keeps the right to deliver for a shard.   KEYS 1 lease, 2 writes   ARGV 1 token, 2 ms
-- Answers how many writes have been made under the shard's leases, this one too; 0 if the lease is another's
local LONGEST = 4000 -- LEASE_MS of workers/dispatcher.py
local holder = redis.call('GET', KEYS[1])
-- Nobody takes one for longer: what is left of another's was taken before the clock was set back.
if holder and holder ~= ARGV[1] and redis.call('PTTL', KEYS[1]) <= LONGEST then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])
