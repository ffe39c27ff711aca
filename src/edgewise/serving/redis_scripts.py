"""What Redis does for :mod:`edgewise.serving.redis_store`, in Lua.

Each script is run alone, and is given the prefix of all keys and its own arguments.
"""

from __future__ import annotations

PREFIX = "edgewise:"

# Keys, all of them after the prefix:
#   store, salt        this format, and the secret of the store
#   state              hash: active, wanted, attempt, until (microseconds), items, places
#   keys, events       set of the keys of events; hash: place -> event as JSON
#   of:WHO             list of the places of a person's events
#   seen, forgotten    hash WHO -> number; set of WHO
#   list:VERSION:WHO   20 digits of `seen`, then the items as JSON
#   versions           set of versions that have lists
#   item:ID            hash: field -> value as JSON
#   item_places        sorted set of item ids by place
#   workers            hash: name -> microseconds and JSON
_COMMON = """
local P = KEYS[1]
local function now()
    local t = redis.call('TIME')
    return t[1] * 1000000 + t[2]
end
local function digits(n) return string.format('%.0f', n) end
local function switch()
    local s = redis.call('HMGET', P .. 'state', 'active', 'wanted', 'attempt', 'until')
    if not s[2] or now() >= tonumber(s[4]) then return {s[1], false, ''} end
    return {s[1], s[2], s[3]}
end
local function unwish() redis.call('HDEL', P .. 'state', 'wanted', 'attempt', 'until') end
local function events_of(who)
    local places, found = redis.call('LRANGE', P .. 'of:' .. who, 0, -1), {}
    for i = 1, #places do
        found[i] = {places[i], redis.call('HGET', P .. 'events', places[i])}
    end
    return found
end
local function workers(since)
    local all, found = redis.call('HGETALL', P .. 'workers'), {}
    for i = 1, #all, 2 do
        local told, rest = string.match(all[i + 1], '^(%d+) (.*)$')
        if tonumber(told) >= since then found[#found + 1] = {all[i], rest} end
    end
    return found
end
"""
_OPERATIONS = {
    "open": """
redis.call('SETNX', P .. 'store', ARGV[1])
redis.call('SETNX', P .. 'salt', ARGV[2])
return {redis.call('GET', P .. 'store'), redis.call('GET', P .. 'salt')}
""",
    "add_events": """
local new = {}
for i = 1, #ARGV, 3 do
    local who = ARGV[i + 1]
    local at = (i + 2) / 3
    new[at] = redis.call('SADD', P .. 'keys', ARGV[i])
    if new[at] == 1 then
        local place = redis.call('HINCRBY', P .. 'state', 'places', 1)
        redis.call('HSET', P .. 'events', place, ARGV[i + 2])
        redis.call('RPUSH', P .. 'of:' .. who, place)
        redis.call('HINCRBY', P .. 'seen', who, 1)
    end
end
return new
""",
    "events_of": """
local found = {}
for i = 1, #ARGV do found[i] = events_of(ARGV[i]) end
return found
""",
    "events_after": """
local last = tonumber(redis.call('HGET', P .. 'state', 'places') or 0)
local place, most = tonumber(ARGV[1]), math.min(tonumber(ARGV[2]), last)
local found = {}
while place < most do
    place = place + 1
    local event = redis.call('HGET', P .. 'events', digits(place))
    if event then found[#found + 1] = {digits(place), event} end
end
return {last, found}
""",
    "person": """
return {redis.call('HGET', P .. 'seen', ARGV[1]) or 0,
        redis.call('SISMEMBER', P .. 'forgotten', ARGV[1]), events_of(ARGV[1])}
""",
    "forget": """
local who, lists = ARGV[1], 0
local events = events_of(who)
for i = 1, #events do
    redis.call('SREM', P .. 'keys', cjson.decode(events[i][2])[1])
    redis.call('HDEL', P .. 'events', events[i][1])
end
redis.call('DEL', P .. 'of:' .. who)
for _, version in ipairs(redis.call('SMEMBERS', P .. 'versions')) do
    lists = lists + redis.call('DEL', P .. 'list:' .. version .. ':' .. who)
end
redis.call('HINCRBY', P .. 'seen', who, 1)
redis.call('SADD', P .. 'forgotten', who)
return {#events, lists}
""",
    "put_lists": """
local version, seconds = ARGV[1], ARGV[2]
redis.call('SADD', P .. 'versions', version)
for i = 3, #ARGV, 3 do
    local who, seen = ARGV[i], tonumber(ARGV[i + 1])
    if tonumber(redis.call('HGET', P .. 'seen', who) or 0) == seen then
        redis.call('SET', P .. 'list:' .. version .. ':' .. who, ARGV[i + 2], 'EX', seconds)
    end
end
""",
    "look_up": """
local who, version, held = ARGV[1], ARGV[2], tonumber(ARGV[3])
local state = redis.call('HMGET', P .. 'state', 'active', 'items')
local seen = tonumber(redis.call('HGET', P .. 'seen', who) or 0)
local key, list = P .. 'list:' .. version .. ':' .. who, false
if held ~= seen and tonumber(redis.call('GETRANGE', key, 0, 19)) == seen then
    list = redis.call('GET', key)
end
return {state[1], state[2] or 0, seen, redis.call('SISMEMBER', P .. 'forgotten', who), list}
""",
    "put_item": """
local key = P .. 'item:' .. ARGV[1]
local place = redis.call('HINCRBY', P .. 'state', 'items', 1)
for i = 2, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', P .. 'item_places', place, ARGV[1])
return {place, redis.call('HGETALL', key)}
""",
    "items_after": """
local rows, found = redis.call('ZRANGEBYSCORE', P .. 'item_places', '(' .. ARGV[1], '+inf',
    'WITHSCORES', 'LIMIT', 0, ARGV[2]), {}
for i = 1, #rows, 2 do
    found[#found + 1] = {rows[i], rows[i + 1], redis.call('HGETALL', P .. 'item:' .. rows[i])}
end
return found
""",
    "beat": """
local all, old = redis.call('HGETALL', P .. 'workers'), now() - 86400000000
for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '^%d+')) < old then
        redis.call('HDEL', P .. 'workers', all[i])
    end
end
redis.call('HSET', P .. 'workers', ARGV[1], digits(now()) .. ' ' .. ARGV[2])
return switch()
""",
    "leave": "redis.call('HDEL', P .. 'workers', ARGV[1])",
    "workers": "return workers(now() - tonumber(ARGV[1]))",
    "begin": """
local active = redis.call('HGET', P .. 'state', 'active')
for i = 2, #ARGV do
    if ARGV[i] == active then return active end
end
redis.call('HSET', P .. 'state', 'active', ARGV[1])
return ARGV[1]
""",
    "want": """
local s = switch()
if s[2] then return s[3] == ARGV[2] end
redis.call('HSET', P .. 'state', 'wanted', ARGV[1], 'attempt', ARGV[2],
    'until', digits(now() + tonumber(ARGV[3])))
return true
""",
    "renew": """
local s = switch()
if not s[2] or s[3] ~= ARGV[1] then return false end
redis.call('HSET', P .. 'state', 'until', digits(now() + tonumber(ARGV[2])))
return true
""",
    "activate": """
local s = switch()
if not s[2] or s[3] ~= ARGV[1] then return false end
for _, worker in ipairs(workers(now() - tonumber(ARGV[2]))) do
    local ready = false
    for _, version in ipairs(cjson.decode(worker[2]).ready) do
        ready = ready or version == s[2]
    end
    if not ready then return false end
end
redis.call('HSET', P .. 'state', 'active', s[2])
unwish()
return true
""",
    "give_up": "if switch()[3] == ARGV[1] then unwish() end",
}

SCRIPTS = {name: _COMMON + text for name, text in _OPERATIONS.items()}
"""By the names of the store's methods."""
