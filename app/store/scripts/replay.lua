-- Makes deliveries due again, with the whole retry schedule, in the order of receipt.
-- KEYS 1 due, 2 retry, 3 dead, 4 state, 5 wake, 6 replays, 7 replayed
-- ARGV 1 subscription, 2 their replay ('' for none), 3 the replay's record as it was read, 4 its new record ('' when it
--      has ended), 5 the reason (`replay` or `retry`), 6 now (ms), then the deliveries
-- Returns their number, or -1 if the replay's record has changed, because another worker has done this step
if ARGV[2] ~= '' and redis.call('HGET', KEYS[6], ARGV[2]) ~= ARGV[3] then return -1 end
for i = 7, #ARGV do
  local delivery = ARGV[i]
  local ms, sequence = string.match(delivery, '^(%d+)-(%d+)')
  redis.call('ZADD', KEYS[1], string.format('%.0f', ms * 1000 + math.min(sequence, 999)), delivery)
  redis.call('ZREM', KEYS[2], delivery)
  redis.call('ZREM', KEYS[3], delivery)
  -- Keep the log of earlier attempts.
  local state = redis.call('HGET', KEYS[4], delivery)
  if state then
    local readable, known = pcall(cjson.decode, state)
    if readable and type(known) == 'table' and type(known.log) == 'table' and #known.log > 0 then
      known.step, known.waited, known.was, known.by = 0, 0, nil, ARGV[5]
      redis.call('HSET', KEYS[4], delivery, cjson.encode(known))
    else
      redis.call('HDEL', KEYS[4], delivery)
    end
  end
end
-- Update the replay last. If one of the keys above is damaged, it must not skip these deliveries.
if ARGV[2] ~= '' then
  -- A count that isn't a number starts again. Another type is an error here, too.
  local counted = redis.pcall('HINCRBY', KEYS[7], ARGV[2], #ARGV - 6)
  if type(counted) == 'table' then redis.call('HSET', KEYS[7], ARGV[2], #ARGV - 6) end
  if ARGV[4] == '' then
    redis.call('HDEL', KEYS[6], ARGV[2])
    redis.call('HSET', KEYS[7], ARGV[2] .. ':ended', ARGV[6])
  else
    redis.call('HSET', KEYS[6], ARGV[2], ARGV[4])
  end
end
if #ARGV > 6 then redis.call('XADD', KEYS[5], 'MAXLEN', '~', 1000, '*', 'due', ARGV[1]) end
return #ARGV - 6
