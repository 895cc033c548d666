-- Adds punches to people's days and advances the position, atomically.
-- KEYS 1 state, 2 changed, 3 latest; then the weeks and days to write
-- ARGV 1 previous position (entry), 2 new position, 3 seconds to keep the data, 4 number of punches,
--      5 number of devices; for each punch: index of its week's key, field, value, index of its day's key, member;
--      for each device: its ID, instant and offset of its latest punch; then pairs of due (ms) and member of changed
-- Returns 1, or 0 if another worker has already advanced the position
if (redis.call('HGET', KEYS[1], 'at') or '0-0') ~= ARGV[1] then return 0 end
-- A week or day whose key has a wrong type doesn't stop the others. `doctor` reports it.
local function add(...)
  local answer = redis.pcall(...)
  local failed = type(answer) == 'table' and answer.err
  return failed and not string.find(failed, 'WRONGTYPE', 1, true) and answer
end
local a = 6
for _ = 1, ARGV[4] do
  local failed = add('HSET', KEYS[tonumber(ARGV[a])], ARGV[a + 1], ARGV[a + 2])
    or add('ZADD', KEYS[tonumber(ARGV[a + 3])], 0, ARGV[a + 4])
  if failed then return failed end
  a = a + 5
end
for _ = 1, ARGV[5] do
  local known = redis.call('HGET', KEYS[3], ARGV[a])
  local at = known and tonumber(string.match(known, '^-?%d+') or '')  -- nil if it is damaged
  if not at or at <= tonumber(ARGV[a + 1]) then
    redis.call('HSET', KEYS[3], ARGV[a], ARGV[a + 1] .. ' ' .. ARGV[a + 2])
  end
  a = a + 3
end
-- Keep an earlier due time, so that repeated changes don't postpone a day.
while a < #ARGV do
  redis.call('ZADD', KEYS[2], 'LT', ARGV[a], ARGV[a + 1])
  a = a + 2
end
for k = 3, #KEYS do redis.call('EXPIRE', KEYS[k], ARGV[3]) end
redis.call('HSET', KEYS[1], 'at', ARGV[2])
return 1
