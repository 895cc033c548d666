-- Replaces a key of another type, or a counter that isn't a whole number of at most so many digits.
-- KEYS 1 key   ARGV 1 its type, 2 the new value of a counter; "" removes the key, 3 the most digits of a counter
-- Returns 1 if the key was damaged
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 0 end
if kind == ARGV[1] then
  if kind ~= 'string' then return 0 end
  local number = redis.call('GET', KEYS[1])
  if #number <= tonumber(ARGV[3]) and string.match(number, '^%d+$') then return 0 end
end
redis.call('DEL', KEYS[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
return 1
