"""The Lua scripts that change the stored state. Each runs as a whole or, when Redis refuses writes, not at all.

Redis refuses a script's first write when it is out of memory, cannot write its append-only file or is a replica, and
lets a script that has already written go on. Every script therefore checks first, and its first write is one that
Redis refuses in all these cases (HSET).
"""

from __future__ import annotations

_CHECK_FENCE = """
local meta = redis.call('HMGET', KEYS[1], 'fence', 'epoch', 'holder', 'since', 'next', 'first')
if meta[1] ~= ARGV[1] then
  if not meta[2] then return {'emptied'} end
  return {'fenced', meta[2], meta[3] or '', meta[4] or ''}
end
"""

_DROP_OLD_HISTORY = """
local function drop_old(first, count)
  -- An entry of number n has the id n+1, so ids up to `first` are those of numbers below it.
  local old = redis.call('XRANGE', KEYS[7], '-', string.format('%.0f', first), 'COUNT', count)
  local ids = {}
  for i, entry in ipairs(old) do
    ids[i] = entry[1]
    local uid = entry[2][2]
    local number = string.format('%.0f', tonumber(string.match(entry[1], '%d+')) - 1)
    if redis.call('HGET', KEYS[8], uid) == number then redis.call('HDEL', KEYS[8], uid) end
  end
  if #ids > 0 then redis.call('XDEL', KEYS[7], unpack(ids)) end
  return #ids
end
"""

COMMIT = (
    _DROP_OLD_HISTORY
    + _CHECK_FENCE
    + """
-- ARGV: fence, slot of the token, token, number of the first history entry to append or '', prefix of blob keys,
-- and then the writes
if ARGV[4] ~= '' and ARGV[4] ~= (meta[5] or '0') then return {'history', meta[5] or '0'} end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])

-- Calls a command on ARGV[from..to]; Lua can pass only so many arguments at once.
local function each(from, to, ...)
  local head = {...}
  local width = #head
  for start = from, to, 4000 do
    local stop = math.min(start + 3999, to)
    for i = start, stop do head[width + i - start + 1] = ARGV[i] end
    redis.call(unpack(head, 1, width + stop - start + 1))
  end
end

local i = 6
while i <= #ARGV do
  local write = ARGV[i]
  if write == 'put' then
    local n = 2 * tonumber(ARGV[i + 1])
    each(i + 2, i + 1 + n, 'HSET', KEYS[3])
    each(i + 2 + n, i + 1 + 2 * n, 'ZADD', KEYS[4])
    i = i + 2 + 2 * n
  elseif write == 'remove' then
    local n = tonumber(ARGV[i + 1])
    each(i + 2, i + 1 + n, 'HDEL', KEYS[3])
    each(i + 2, i + 1 + n, 'ZREM', KEYS[4])
    i = i + 2 + n
  elseif write == 'move' then
    local n = 2 * tonumber(ARGV[i + 1])
    each(i + 2, i + 1 + n, 'ZADD', KEYS[4], 'XX')
    i = i + 2 + n
  elseif write == 'clear' then
    redis.call('UNLINK', KEYS[3], KEYS[4])
    i = i + 1
  elseif write == 'run' then
    redis.call('SET', KEYS[5], ARGV[i + 1])
    i = i + 2
  elseif write == 'rest' then
    redis.call('DEL', KEYS[5])
    i = i + 1
  elseif write == 'append' then
    redis.call('XADD', KEYS[7], ARGV[i + 3], 'u', ARGV[i + 4], 't', ARGV[i + 5], 'x', ARGV[i + 6])
    redis.call('HSET', KEYS[8], ARGV[i + 4], ARGV[i + 1])
    redis.call('HSET', KEYS[1], 'next', ARGV[i + 2])
    i = i + 7
  elseif write == 'trim' then
    local now = redis.call('HMGET', KEYS[1], 'first', 'next')
    local first, next = tonumber(now[1] or 0), tonumber(now[2] or 0)
    local wanted = math.min(tonumber(ARGV[i + 1]), next)
    if wanted > first then
      redis.call('HSET', KEYS[1], 'first', string.format('%.0f', wanted))
      if wanted == next then
        redis.call('UNLINK', KEYS[7], KEYS[8])
      else
        drop_old(wanted, 50)
      end
    end
    i = i + 2
  elseif write == 'audit' then
    redis.call('XADD', KEYS[9], 'MAXLEN', '=', ARGV[i + 1], '*', 't', ARGV[i + 2])
    i = i + 3
  elseif write == 'set' then
    redis.call('HSET', KEYS[6], ARGV[i + 1], ARGV[i + 2])
    i = i + 3
  elseif write == 'unset' then
    redis.call('HDEL', KEYS[6], ARGV[i + 1])
    i = i + 2
  elseif write == 'set-blob' then
    redis.call('SET', ARGV[5] .. ARGV[i + 1], ARGV[i + 2])
    i = i + 3
  else
    redis.call('UNLINK', ARGV[5] .. ARGV[i + 1])
    i = i + 2
  end
end
return 1
"""
)
"""Carries out the writes of one commit, in order. Answers 1, or why nothing was done."""

SWEEP = (
    _DROP_OLD_HISTORY
    + _CHECK_FENCE
    + """
return drop_old(tonumber(meta[6] or 0), tonumber(ARGV[2]))
"""
)
"""Drops some history entries below the first valid number. ARGV: fence, how many. Answers how many there were."""

TAKE_EPOCH = """
-- ARGV: known format, lowest epoch wanted, holder, time in seconds
local meta = redis.call('HMGET', KEYS[1], 'format', 'epoch')
if meta[1] and tonumber(meta[1]) > tonumber(ARGV[1]) then return {'format', meta[1]} end
local epoch = string.format('%.0f', math.max(tonumber(meta[2] or 0) + 1, tonumber(ARGV[2])))
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'epoch', epoch, 'session', '1', 'fence', epoch .. ':1',
           'holder', ARGV[3], 'since', ARGV[4])
return {'taken', epoch, epoch .. ':1'}
"""

RAISE_EPOCH = (
    _CHECK_FENCE
    + """
-- ARGV: fence, lowest epoch wanted
local epoch = math.max(tonumber(meta[2]), tonumber(ARGV[2]))
epoch = string.format('%.0f', epoch)
local fence = epoch .. ':' .. string.match(ARGV[1], ':(%d+)$')
redis.call('HSET', KEYS[1], 'epoch', epoch, 'fence', fence)
return {'taken', epoch, fence}
"""
)

REJOIN = """
-- ARGV: own epoch, token of the last commit that Redis acknowledged or ''
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'session', 'holder', 'since')
if not meta[1] then return {'emptied'} end
if tonumber(meta[1]) > tonumber(ARGV[1]) then return {'fenced', meta[1], meta[3] or '', meta[4] or ''} end
local session = string.format('%.0f', tonumber(meta[2] or 0) + 1)
local fence = ARGV[1] .. ':' .. session
local found = ARGV[2] == ''
for _, token in ipairs(redis.call('HVALS', KEYS[2])) do found = found or token == ARGV[2] end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'session', session, 'fence', fence)
return {'taken', ARGV[1], fence, found and 'intact' or 'rolled-back'}
"""
"""Begins a new session of the epoch's holder on a new connection.

A write that is still on its way over an older connection carries the older session and is refused when it arrives:
what `committed` answers after a rejoin stays true. An epoch in Redis below one's own means that Redis lost its last
seconds in a crash, not that somebody took over.
"""

FIND_TIME = """
-- ARGV: number of the first entry, number after the last, time, and 1 to leave out entries of just this time
local low, high, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
while low < high do
  local middle = math.floor((low + high) / 2)
  local id = string.format('%.0f', middle + 1)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  local time = entry and tonumber(entry[2][4])
  if not time or time < wanted or (ARGV[4] == '1' and time == wanted) then low = middle + 1 else high = middle end
end
return string.format('%.0f', low)
"""
"""Answers the number of the first history entry of a time or later; entries that were dropped count as earlier."""
