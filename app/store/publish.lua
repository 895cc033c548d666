-- Stores an event of the relay's own.   KEYS 1 events, then its indexes   ARGV 1 body   Answers its entry
local id = redis.call('XADD', KEYS[1], '*', 'b', ARGV[1], 'r', '')
for k = 2, #KEYS do redis.call('XADD', KEYS[k], id, '', '') end
return id
