-- Stores, deduplicates and queues what one callback brought, or nothing of it.
-- First all is checked, then all is written: a script's writes are not undone.
--
-- KEYS 1 events, 2 device; then each item's keys in turn
-- ARGV 1 version of the device's record that was used, 2 version of its users' names ("" any),
--      3 received (ms), 4 callbacks to count (1, and 0 when a callback takes more than one call),
--      5 field=count pairs to add to the device's counters (n, then n pairs), then the items:
--   seen   KEYS seen                        ARGV seconds
--   event  KEYS by type, by device[, by user]   ARGV 1|0 has user, body, raw, extra
--   punch  KEYS punches, by type, by device, by user
--          ARGV instant, seconds, what is expected to be stored, values (4), 1|0 clock suspect, body, raw
--   user   KEYS user, users                 ARGV expected version, user id, 1|0 name changed, n, field, value…
--   forget KEYS user, users                 ARGV user id
--   blob   KEYS blob                        ARGV seconds, value
-- Answers {'stored', duplicates, id…} or {'duplicate'} or what has to be read again first:
--   {'device'} {'names', n} {'punch', item, stored} {'user', item}
local device = redis.call('HMGET', KEYS[2], 'v', 'n', 'callbacks', 'events', 'duplicates', 'clock_suspect')
if device[1] ~= ARGV[1] then return {'device'} end
local names = device[2] or '0'
if ARGV[2] ~= '' and names ~= ARGV[2] then return {'names', names} end

local SEPARATOR = '\31'
local function split(text)
  local parts = {}
  for part in string.gmatch(text .. SEPARATOR, '(.-)' .. SEPARATOR) do parts[#parts + 1] = part end
  return parts
end

-- A value that is missing changes nothing.
local function same(stored, at)
  local parts = split(stored)
  for i = 0, 3 do
    local new = ARGV[at + i]
    if new ~= '' and new ~= parts[i + 2] then return false end
  end
  return true
end

-- One write for all that every callback counts.
local function note(events, duplicates, suspects)
  redis.call('HSET', KEYS[2], 'last_seen', ARGV[3],
    'callbacks', (device[3] or 0) + ARGV[4],
    'events', (device[4] or 0) + events,
    'duplicates', (device[5] or 0) + duplicates,
    'clock_suspect', (device[6] or 0) + suspects)
end

local counted = tonumber(ARGV[5])
local first = 6 + 2 * counted
local a, k, item = first, 3, 0
local skip, duplicates, punches = {}, 0, 0
while a <= #ARGV do
  item = item + 1
  local kind = ARGV[a]
  if kind == 'punch' then
    local stored = redis.call('HGET', KEYS[k], ARGV[a + 1])
    punches = punches + 1
    if stored and stored ~= ARGV[a + 3] then
      if not same(stored, a + 4) then return {'punch', item, stored} end
      skip[item] = true
      duplicates = duplicates + 1
    elseif not stored and ARGV[a + 3] ~= '' then
      return {'punch', item, ''}
    end
    a, k = a + 11, k + 4
  elseif kind == 'event' then
    k = k + 2 + tonumber(ARGV[a + 1])
    a = a + 5
  elseif kind == 'seen' then
    if redis.call('EXISTS', KEYS[k]) == 1 then
      note(0, 1, 0)
      return {'duplicate'}
    end
    a, k = a + 2, k + 1
  elseif kind == 'user' then
    if (redis.call('HGET', KEYS[k], 'v') or '0') ~= ARGV[a + 1] then return {'user', item} end
    a, k = a + 5 + 2 * tonumber(ARGV[a + 4]), k + 2
  elseif kind == 'forget' then
    a, k = a + 2, k + 2
  else -- blob
    a, k = a + 3, k + 1
  end
end

local answer, suspects = {'stored', duplicates}, 0
local function publish(k, a, has_user, body, raw, extra)
  local id
  if extra ~= '' then
    id = redis.call('XADD', KEYS[1], '*', 'b', body, 'r', raw, 'x', extra)
  else
    id = redis.call('XADD', KEYS[1], '*', 'b', body, 'r', raw)
  end
  for i = k, k + 1 + has_user do redis.call('XADD', KEYS[i], id, '', '') end
  answer[#answer + 1] = id
end

a, k, item = first, 3, 0
while a <= #ARGV do
  item = item + 1
  local kind = ARGV[a]
  if kind == 'punch' then
    if not skip[item] then
      local revision = 1
      if ARGV[a + 3] ~= '' then revision = tonumber(split(ARGV[a + 3])[1]) + 1 end
      redis.call('HSET', KEYS[k], ARGV[a + 1],
        table.concat({revision, ARGV[a + 4], ARGV[a + 5], ARGV[a + 6], ARGV[a + 7]}, SEPARATOR))
      redis.call('EXPIRE', KEYS[k], ARGV[a + 2])
      publish(k + 1, a, 1, ARGV[a + 9], ARGV[a + 10], '')
      suspects = suspects + tonumber(ARGV[a + 8])
    end
    a, k = a + 11, k + 4
  elseif kind == 'event' then
    local has_user = tonumber(ARGV[a + 1])
    publish(k, a, has_user, ARGV[a + 2], ARGV[a + 3], ARGV[a + 4])
    a, k = a + 5, k + 2 + has_user
  elseif kind == 'seen' then
    redis.call('SET', KEYS[k], '', 'EX', ARGV[a + 1])
    a, k = a + 2, k + 1
  elseif kind == 'user' then
    local n = tonumber(ARGV[a + 4])
    redis.call('HINCRBY', KEYS[k], 'v', 1)
    for i = a + 5, a + 3 + 2 * n, 2 do redis.call('HSET', KEYS[k], ARGV[i], ARGV[i + 1]) end
    redis.call('ZADD', KEYS[k + 1], 0, ARGV[a + 2])
    if ARGV[a + 3] == '1' then redis.call('HINCRBY', KEYS[2], 'n', 1) end
    a, k = a + 5 + 2 * n, k + 2
  elseif kind == 'forget' then
    redis.call('DEL', KEYS[k])
    redis.call('ZREM', KEYS[k + 1], ARGV[a + 1])
    redis.call('HINCRBY', KEYS[2], 'n', 1)
    a, k = a + 2, k + 2
  else -- blob
    redis.call('SET', KEYS[k], ARGV[a + 2], 'EX', ARGV[a + 1])
    a, k = a + 3, k + 1
  end
end

note(#answer - 2, duplicates, suspects)
for i = 0, counted - 1 do redis.call('HINCRBY', KEYS[2], ARGV[6 + 2 * i], ARGV[7 + 2 * i]) end
return answer
