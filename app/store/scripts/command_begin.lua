-- Records, before a command is sent, that it is being sent, so that after a crash it counts as possibly sent.
-- KEYS 1 lease, 2 command   ARGV 1 lease token, 2 now (ms), 3 1 if the command can be sent twice
-- Returns 'send', 'lease' (another worker has it), 'over' (it has ended), or 'sent' (it must not be sent again)
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return 'lease' end
local status = redis.call('HGET', KEYS[2], 'status')
if status == 'sending' and ARGV[3] ~= '1' then return 'sent' end
if status ~= 'queued' and status ~= 'sending' and status ~= 'asking' then return 'over' end
redis.call('HSET', KEYS[2], 'status', 'sending', 'sent_at', ARGV[2])
redis.call('HINCRBY', KEYS[2], 'attempts', 1)
return 'send'
