-- Stores, deduplicates and queues everything in a callback, or nothing.
-- It checks everything first, and then writes. The store doesn't undo a script's writes if one of them fails, so this
-- script does. Otherwise, a remembered punch whose event wasn't published would be a duplicate when it is sent again.
--
-- KEYS 1 events, 2 device; then the keys of each item; the last is the stream of changes, which exists during a backup
--      (see backup_cut.py)
-- ARGV 1 version of the device's record that was used, 2 version of its users' names ("" for any),
--      3 received (ms), 4 callbacks to count (0 for further calls for the same callback, otherwise 1),
--      5 counters to add to the device's (n, then n pairs of field and count), then the items:
--   seen   KEYS seen                        ARGV seconds
--   event  KEYS by type, by device[, by user]   ARGV 1|0 has user, body, raw, extra
--   punch  KEYS punches, by type, by device, by user
--          ARGV instant, place, row, seconds, expected stored punch, values (4), their stamp, 1|0 clock suspect,
--               body, raw
--          place: 1, or 2 for an out in the same second as an earlier in, or the reverse
--          row: 'corrects' with an OperationTime, 'plain' without, 'fixed' if the device's direction is set, so that
--               in and out can't differ, 'overruled' if its values were overruled by a correction
--   user   KEYS user, users
--          ARGV expected version, user ID, 1|0 name changed, 1|0 user exists, seconds to keep the record if not,
--               n, field, value…, m, field to remove…
--   blob   KEYS blob                        ARGV seconds, value
-- Returns {'stored', duplicates, id…}, {'duplicate'}, or what the caller must read again before the next call:
--   {'device'}, {'names', n}, {'user', item}, or
--   {'punches', {item, place, stored punch, new punch, overruled values}…} with all punches concerned
--
-- A remembered punch consists of a revision, 4 values, and their stamps: one stamp for all values, or four separated by
-- commas. A stamp is the device's time (ms), '+', ms until the receipt, and '+' with the row's number if a callback has
-- several rows for this punch. An older value never replaces a newer one, so the order of arrival doesn't matter.
-- After a row with an OperationTime has set the type, 'c' follows, and rows without one no longer change the type. If
-- such a row says in or out, its values follow as well: if another row says the opposite, there are two punches.
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

local function stamps_of(parts)
  local stamps, text = {}, parts[6] or ''
  local one = not string.find(text, ',', 1, true)
  for part in string.gmatch(text .. ',', '(.-),') do stamps[#stamps + 1] = part end
  for i = 1, 4 do
    if one then stamps[i] = parts[i + 1] ~= '' and text or '' end
    stamps[i] = stamps[i] or ''
  end
  return stamps
end

local function as_text(parts, stamps)
  local one
  for i = 1, 4 do
    if parts[i + 1] ~= '' then
      if one and stamps[i] ~= one then return table.concat(stamps, ',', 1, 4) end
      one = stamps[i]
    end
  end
  return one or ''
end

local function numbers(stamp)
  local at, delay, row = string.match(stamp, '^(%d+)%+(%d+)%+?(%d*)$')
  if not at then return -1, -1, -1 end
  return tonumber(at), at + delay, tonumber(row) or 0
end

-- Returns whether a value is newer than the kept one. A value without a stamp is the oldest. With equal stamps, the
-- greater value wins.
local function newer(stamp, value, kept_stamp, kept)
  if stamp == kept_stamp then return value > kept end
  local at, received, row = numbers(stamp)
  local kept_at, kept_received, kept_row = numbers(kept_stamp)
  if at ~= kept_at then return at > kept_at end
  if received ~= kept_received then return received > kept_received end
  return row > kept_row
end

local function side(punch_type)
  return string.match(punch_type or '', '_(in)$') or string.match(punch_type or '', '_(out)$')
end

local CORRECTED, OVERRULED = 7, 8 -- indexes of parts of a remembered punch

local function is_corrected(parts)
  return parts[CORRECTED] == 'c'
end

local function overruled_by_correction(parts)
  local values = {}
  for i = 1, 4 do values[i] = parts[OVERRULED + i - 1] or '' end
  return table.concat(values, SEPARATOR)
end

local function field_of(instant, place)
  return place == 1 and instant or instant .. '/' .. place
end

-- Returns which of the two punches of an instant a row belongs to, by comparing it with the first one, and the values
-- that a correction overruled, if the row shows that they belong to a separate punch.
local function place_of(first, key, instant, row, punch_type)
  local sent = side(punch_type)
  if not sent then return 1 end
  local parts = split(first)
  local kept, overruled = side(parts[2]), is_corrected(parts) and side(parts[OVERRULED])
  local stands_alone = overruled and overruled ~= sent
  if kept == sent and not (row == 'plain' and stands_alone) then return 1 end
  local second = redis.call('HGET', key, field_of(instant, 2))
  if kept == sent then
    if second then return 1 end
    return 2, overruled_by_correction(parts)
  end
  if row == 'overruled' then return overruled == sent and not second and 2 or 1 end
  if second and side(split(second)[2]) == sent then return 2 end
  if row ~= 'plain' then return 1 end
  if is_corrected(parts) then return stands_alone and 2 or 1 end
  return kept and 2 or 1
end

local function new_punch(a, stamp, row)
  local values = {1, ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], stamp}
  if row == 'corrects' and ARGV[a] ~= '' then values[CORRECTED] = 'c' end
  return table.concat(values, SEPARATOR)
end

-- Saves the values that a correction overrules: those of a row without an OperationTime that says in or out.
local function note_correction(parts, a, row)
  if row == 'corrects' and ARGV[a] ~= '' and not is_corrected(parts) then
    parts[CORRECTED] = 'c'
    if side(parts[2]) then
      for i = 0, 3 do parts[OVERRULED + i] = parts[2 + i] end
    end
  elseif row == 'plain' and is_corrected(parts) and not side(parts[OVERRULED]) and side(ARGV[a]) then
    for i = 0, 3 do parts[OVERRULED + i] = ARGV[a + i] end
  end
end

-- Returns a punch merged with the values at `a`, and whether a value has changed. A missing value changes nothing.
local function merged(stored, a, stamp, row)
  local parts = split(stored)
  for i = 1, 6 do parts[i] = parts[i] or '' end
  local stamps, changed = stamps_of(parts), false
  local corrects, was_corrected = row == 'corrects', is_corrected(parts)
  note_correction(parts, a, row)
  for i = 1, 4 do
    local value = ARGV[a + i - 1]
    local wins = value ~= ''
    if wins and i == 1 and corrects ~= was_corrected then
      wins = corrects
    elseif wins then
      wins = newer(stamp, value, stamps[i], parts[i + 1])
    end
    if wins then
      changed = changed or value ~= parts[i + 1]
      parts[i + 1], stamps[i] = value, stamp
    end
  end
  if changed then parts[1] = (tonumber(parts[1]) or 0) + 1 end
  parts[6] = as_text(parts, stamps)
  return table.concat(parts, SEPARATOR), changed
end

-- Updates all counters that every callback changes in one write.
local function note(events, duplicates, suspects)
  return redis.pcall('HSET', KEYS[2], 'last_seen', ARGV[3],
    'callbacks', (tonumber(device[3]) or 0) + ARGV[4],
    'events', (tonumber(device[4]) or 0) + events,
    'duplicates', (tonumber(device[5]) or 0) + duplicates,
    'clock_suspect', (tonumber(device[6]) or 0) + suspects)
end

local counted = tonumber(ARGV[5])
local first = 6 + 2 * counted
local a, k, item = first, 3, 0
local skip, stores, kept, fields, duplicates, again = {}, {}, {}, {}, 0, {'punches'}

-- Checks whether a punch can be stored as it was sent, or whether the caller must send the merged punch.
local function check_punch(item, a, k)
  local instant, row = ARGV[a + 1], ARGV[a + 3]
  local stored, place, overruled = redis.call('HGET', KEYS[k], instant), 1, nil
  if stored then place, overruled = place_of(stored, KEYS[k], instant, row, ARGV[a + 6]) end
  if overruled or (row == 'overruled' and place == 1) then
    again[#again + 1] = {item, place, '', '', overruled or ''}
    return
  end
  fields[item] = field_of(instant, place)
  if place > 1 then stored = redis.call('HGET', KEYS[k], fields[item]) end
  local now, changed
  if stored then
    now, changed = merged(stored, a + 6, ARGV[a + 10], row)
  else
    now, changed = new_punch(a + 6, ARGV[a + 10], row), true
  end
  if changed and (place ~= tonumber(ARGV[a + 2]) or (stored or '') ~= ARGV[a + 5]) then
    again[#again + 1] = {item, place, stored or '', stored and now or '', ''}
  end
  kept[item] = stored
  if now ~= stored then stores[item] = now end
  if not changed then
    skip[item] = true
    duplicates = duplicates + 1
  end
end

while a <= #ARGV do
  item = item + 1
  local kind = ARGV[a]
  if kind == 'punch' then
    check_punch(item, a, k)
    a, k = a + 14, k + 4
  elseif kind == 'event' then
    k = k + 2 + tonumber(ARGV[a + 1])
    a = a + 5
  elseif kind == 'seen' then
    if redis.call('EXISTS', KEYS[k]) == 1 then
      local noting = note(0, 1, 0)
      return type(noting) == 'table' and noting or {'duplicate'}
    end
    a, k = a + 2, k + 1
  elseif kind == 'user' then
    if (redis.call('HGET', KEYS[k], 'v') or '0') ~= ARGV[a + 1] then return {'user', item} end
    redis.call('ZCARD', KEYS[k + 1]) -- raises an error if the key is damaged, before anything is written
    local dels = a + 7 + 2 * tonumber(ARGV[a + 6])
    a, k = dels + 1 + tonumber(ARGV[dels]), k + 2
  else -- blob
    a, k = a + 3, k + 1
  end
end
if #again > 1 then return again end

local answer, suspects = {'stored', duplicates}, 0
local failure -- the first write that failed; then everything is undone
local function write(...)
  local result = redis.pcall(...)
  if type(result) == 'table' and result.err then failure = failure or result end
  return result
end

local function publish(k, has_user, body, raw, extra)
  local id
  if extra ~= '' then
    id = write('XADD', KEYS[1], '*', 'b', body, 'r', raw, 'x', extra)
  else
    id = write('XADD', KEYS[1], '*', 'b', body, 'r', raw)
  end
  if failure then return end
  answer[#answer + 1] = id
  for i = k, k + 1 + has_user do write('XADD', KEYS[i], id, '', '') end
end

local changes = KEYS[#KEYS]
local noted = redis.call('EXISTS', changes) == 1
local function note_change(key, field)
  if not noted then return end
  local before = field ~= '' and redis.call('HGET', key, field)
  write('XADD', changes, '*', 'k', key, 'f', field, 'o', before or '', 'n', before and '1' or '0')
end

local function change_user(k, a)
  local sets = a + 6 + 2 * tonumber(ARGV[a + 6])
  local dels = sets + 1 + tonumber(ARGV[sets + 1])
  if dels == a + 7 then return end
  write('HINCRBY', KEYS[k], 'v', 1)
  if failure then return end
  for i = sets + 2, dels do write('HDEL', KEYS[k], ARGV[i]) end
  for i = a + 7, sets, 2 do write('HSET', KEYS[k], ARGV[i], ARGV[i + 1]) end
  if ARGV[a + 4] == '1' then
    write('PERSIST', KEYS[k])
    write('ZADD', KEYS[k + 1], 0, ARGV[a + 2])
  else
    write('EXPIRE', KEYS[k], ARGV[a + 5])
    write('ZREM', KEYS[k + 1], ARGV[a + 2])
  end
  if ARGV[a + 3] == '1' then write('HINCRBY', KEYS[2], 'n', 1) end
end

local remembered = {} -- for each record used for deduplication: key[, field, former value]
local function undo()
  for i = 3, #answer do
    for _, key in ipairs(KEYS) do redis.pcall('XDEL', key, answer[i]) end -- fails, harmlessly, for other types
  end
  for _, was in ipairs(remembered) do
    if not was[2] then
      redis.pcall('DEL', was[1])
    elseif was[3] then
      redis.pcall('HSET', was[1], was[2], was[3])
    else
      redis.pcall('HDEL', was[1], was[2])
    end
  end
  return failure
end

-- Write records for deduplication after their events, and users last, because changes of users can't be undone.
local seen, users
a, k, item = first, 3, 0
while a <= #ARGV do
  item = item + 1
  local kind = ARGV[a]
  if kind == 'punch' then
    if not skip[item] then
      publish(k + 1, 1, ARGV[a + 12], ARGV[a + 13], '')
      suspects = suspects + tonumber(ARGV[a + 11])
    end
    if failure then return undo() end
    if stores[item] then
      note_change(KEYS[k], fields[item])
      remembered[#remembered + 1] = {KEYS[k], fields[item], kept[item]}
      write('HSET', KEYS[k], fields[item], stores[item])
      if not skip[item] then write('EXPIRE', KEYS[k], ARGV[a + 4]) end
    end
    a, k = a + 14, k + 4
  elseif kind == 'event' then
    local has_user = tonumber(ARGV[a + 1])
    publish(k, has_user, ARGV[a + 2], ARGV[a + 3], ARGV[a + 4])
    if failure then return undo() end
    a, k = a + 5, k + 2 + has_user
  elseif kind == 'seen' then
    seen = {k, a}
    a, k = a + 2, k + 1
  elseif kind == 'user' then
    users = users or {}
    users[#users + 1] = {k, a}
    local dels = a + 7 + 2 * tonumber(ARGV[a + 6])
    a, k = dels + 1 + tonumber(ARGV[dels]), k + 2
  else -- blob
    write('SET', KEYS[k], ARGV[a + 2], 'EX', ARGV[a + 1])
    a, k = a + 3, k + 1
  end
end

if seen then
  note_change(KEYS[seen[1]], '')
  remembered[#remembered + 1] = {KEYS[seen[1]]}
  write('SET', KEYS[seen[1]], '', 'EX', ARGV[seen[2] + 1])
end
local noting = note(#answer - 2, duplicates, suspects)
if type(noting) == 'table' then failure = failure or noting end
for i = 0, counted - 1 do write('HINCRBY', KEYS[2], ARGV[6 + 2 * i], ARGV[7 + 2 * i]) end
if users and not failure then
  for _, user in ipairs(users) do change_user(user[1], user[2]) end
end
if failure then return undo() end
return answer
