-- Copies some entries of a stream; once there are no more, puts the copy in the stream's place.
-- What was deleted of a stream stays in the store's blocks of it, and in its files, until a block is gone as a whole.
-- KEYS 1 stream, 2 copy   ARGV 1 the entry copied last, 2 how many, 3 seconds the copy outlives us, then entry, raw…:
--      raw bodies to be put in the place of those there are
-- Answers {entry copied last}, {} when it is done, {false} where the stream lost entries meanwhile: start over
local raws = {}
for a = 4, #ARGV, 2 do raws[ARGV[a]] = ARGV[a + 1] end
local found = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
for _, entry in ipairs(found) do
  local id, fields = entry[1], entry[2]
  if raws[id] then
    for i = 1, #fields, 2 do
      if fields[i] == 'r' then fields[i + 1] = raws[id] end
    end
  end
  redis.call('XADD', KEYS[2], id, unpack(fields))
end
if #found > 0 then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
if #found == tonumber(ARGV[2]) then return {found[#found][1]} end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then return {} end
redis.call('XTRIM', KEYS[2], 'MINID', first[1])
if redis.call('XLEN', KEYS[2]) ~= redis.call('XLEN', KEYS[1]) then
  redis.call('DEL', KEYS[2])
  return {false}
end
local told = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #told, 2 do
  if told[i] == 'last-generated-id' then redis.call('XSETID', KEYS[2], told[i + 1]) end
end
redis.call('PERSIST', KEYS[2])
redis.call('RENAME', KEYS[2], KEYS[1])
return {}
