-- Adds punches to the days of their people, and moves on; both or neither.
-- KEYS 1 state, 2 changed, 3 latest; then the weeks and days that are touched
-- ARGV 1 the entry that was the last, 2 the one that is the last now, 3 seconds to keep it, 4 how many punches,
--      5 how many devices; for each punch: which key is its week, field, value, which key is its day, member;
--      for each device: its ID, instant and offset of its latest punch; then due (ms), member… of changed
-- Answers 1, or 0 where another one was faster
if (redis.call('HGET', KEYS[1], 'at') or '0-0') ~= ARGV[1] then return 0 end
-- A week or day whose key has another type holds up nobody else: doctor names it.
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
  local at = known and tonumber(string.match(known, '^-?%d+') or '')  -- none if it is damaged
  if not at or at <= tonumber(ARGV[a + 1]) then
    redis.call('HSET', KEYS[3], ARGV[a], ARGV[a + 1] .. ' ' .. ARGV[a + 2])
  end
  a = a + 3
end
-- An earlier time stands: what changes again meanwhile waits no longer.
while a < #ARGV do
  redis.call('ZADD', KEYS[2], 'LT', ARGV[a], ARGV[a + 1])
  a = a + 2
end
for k = 3, #KEYS do redis.call('EXPIRE', KEYS[k], ARGV[3]) end
redis.call('HSET', KEYS[1], 'at', ARGV[2])
return 1
