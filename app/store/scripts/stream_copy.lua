-- Copies some entries of a stream. When all have been copied, the copy replaces the stream.
-- This erases deleted entries, which otherwise stay in memory and on disk until their whole block is removed.
-- KEYS 1 stream, 2 copy   ARGV 1 last copied entry, 2 number of entries, 3 seconds to keep the copy if this is
--      interrupted, then entry, raw…: raw bodies that replace those of the entries
-- Returns {last copied entry}, {} when done, or {false} if the stream has lost entries and the copy must start again
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
