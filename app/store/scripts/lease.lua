-- Acquires or extends the lease of a shard, which allows deliveries.   KEYS 1 lease, 2 writes   ARGV 1 token, 2 ms
-- Returns the number of writes under the shard's leases, including this one; 0 if another worker has the lease
local LONGEST = 4000 -- LEASE_MS of workers/dispatcher.py
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'table' then holder = false end -- an error: it has another type, and SET replaces it
-- No lease lasts longer than LONGEST. If another worker's does, the clock was set back, and the lease doesn't count.
-- Neither does one without an expiry: it is damaged.
local left = redis.call('PTTL', KEYS[1])
if holder and holder ~= ARGV[1] and left >= 0 and left <= LONGEST then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])
