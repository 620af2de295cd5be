"""What Redis runs: the decisions of ``policy/limits.py`` in Lua. The contract tests hold both to the same answers."""

from __future__ import annotations

from airgate.policy.limits import GRACE, POLL_LEAST, POLL_MOST, POLL_SHARE

FORGET = 30_000_000
"""Microseconds after which a caller that did not come back is struck off the line."""

_CLOCK = """
redis.replicate_commands()
local function whole(number) return string.format('%.0f', number) end
local function wall(told)
    if told ~= '' then return tonumber(told) end
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
"""

ACQUIRE = (
    _CLOCK
    + f"""
local GRACE, FORGET = {GRACE}, {FORGET}
local POLL_SHARE, POLL_LEAST, POLL_MOST = {POLL_SHARE}, {POLL_LEAST}, {POLL_MOST}
"""
    + """
-- The clock: later each time, and going on from where it was when the server's is set back.
local now = wall(ARGV[1])
local known = redis.call('HMGET', KEYS[1], 'last', 'shift')
local last, shift = tonumber(known[1] or '0'), tonumber(known[2] or '0')
now = now + shift
if now <= last then
    if now <= last - 1000 then shift = shift + last - now end
    now = last + 1
end
local lease, ticket = tonumber(ARGV[2]), ARGV[3]
local seq = ticket ~= '' and ticket or whole(now)

local scopes, at = {}, 4
for index = 2, #KEYS, 4 do
    local scope = {grants = KEYS[index], line = KEYS[index + 1], due = KEYS[index + 2], held = KEYS[index + 3]}
    scope.concurrency, scope.windows = tonumber(ARGV[at]), {}
    local count = tonumber(ARGV[at + 1])
    for window = 1, count do
        local requests, micros = tonumber(ARGV[at + 2 * window]), tonumber(ARGV[at + 1 + 2 * window])
        scope.windows[window] = {requests = requests, micros = micros}
    end
    at = at + 2 + 2 * count
    scopes[#scopes + 1] = scope
end

local function ahead_of(scope)
    local ahead = 0
    local earlier = redis.call('ZRANGEBYSCORE', scope.line, '-inf', '(' .. seq)
    for first = 1, #earlier, 500 do
        local some = {unpack(earlier, first, math.min(first + 499, #earlier))}
        local dues = redis.call('HMGET', scope.due, unpack(some))
        for index, due in ipairs(dues) do
            local moment = tonumber(due or '0')
            if moment >= now - GRACE then
                ahead = ahead + 1
            elseif moment < now - FORGET then
                redis.call('ZREM', scope.line, some[index])
                redis.call('HDEL', scope.due, some[index])
            end
        end
    end
    return ahead
end

local function opens_at(scope)
    local ahead, opens = ahead_of(scope), 0
    for _, window in ipairs(scope.windows) do
        local rounds = math.floor(ahead / window.requests)
        local back = window.requests - (ahead - rounds * window.requests)
        local before = redis.call('LINDEX', scope.grants, -back)
        local free = before and tonumber(before) + window.micros + 1 or now
        opens = math.max(opens, free + rounds * window.micros)
    end
    if scope.concurrency > 0 then
        redis.call('ZREMRANGEBYSCORE', scope.held, '-inf', whole(now))
        local over = redis.call('ZCARD', scope.held) + ahead - scope.concurrency
        if over >= 0 then
            local latest = tonumber(redis.call('HGET', scope.due, 'latest') or whole(now))
            local look = math.min(math.max(math.floor((now - latest) * POLL_SHARE), POLL_LEAST), POLL_MOST)
            opens = math.max(opens, now + math.min(look * (over + 1), 2 * POLL_MOST))
        end
    end
    return opens
end

local keep, latest = 60000, now
for _, scope in ipairs(scopes) do
    scope.opens = opens_at(scope)
    latest = math.max(latest, scope.opens)
    for _, window in ipairs(scope.windows) do
        keep = math.max(keep, math.ceil(window.micros / 1000) + 1000)
    end
end
redis.call('HSET', KEYS[1], 'last', whole(now), 'shift', whole(shift))
-- The clock's shift is kept for as long as anything is that was told by it.
local kept = redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], whole(math.max(keep, math.ceil(lease / 1000), kept) + 60000))

if latest > now then
    local stay = whole(math.ceil((latest - now) / 1000) + 60000)
    for _, scope in ipairs(scopes) do
        if scope.opens > now then
            redis.call('ZADD', scope.line, seq, seq)
            redis.call('HSET', scope.due, seq, whole(scope.opens))
            for _, key in ipairs({scope.line, scope.due}) do
                if redis.call('PTTL', key) < tonumber(stay) then redis.call('PEXPIRE', key, stay) end
            end
        elseif ticket ~= '' then
            redis.call('ZREM', scope.line, seq)
            redis.call('HDEL', scope.due, seq)
        end
    end
    return {0, seq, whole(latest - now)}
end

for _, scope in ipairs(scopes) do
    if ticket ~= '' then
        redis.call('ZREM', scope.line, seq)
        redis.call('HDEL', scope.due, seq)
    end
    local most, longest = 0, 0
    for _, window in ipairs(scope.windows) do
        most, longest = math.max(most, window.requests), math.max(longest, window.micros)
    end
    if most > 0 then
        redis.call('RPUSH', scope.grants, whole(now))
        redis.call('LTRIM', scope.grants, -most, -1)
        redis.call('PEXPIRE', scope.grants, whole(math.ceil(longest / 1000) + 1000))
    end
    if scope.concurrency > 0 then
        redis.call('ZADD', scope.held, whole(now + lease), seq)
        redis.call('HSET', scope.due, 'latest', whole(now))
        local stay = whole(math.ceil(lease / 1000) + 60000)
        for _, key in ipairs({scope.held, scope.due}) do
            if redis.call('PTTL', key) < tonumber(stay) then redis.call('PEXPIRE', key, stay) end
        end
    end
end
return {1, seq, whole(now)}
"""
)

RELEASE = """
for index = 2, #KEYS, 4 do
    redis.call('ZREM', KEYS[index + 1], ARGV[1])
    redis.call('HDEL', KEYS[index + 2], ARGV[1])
    redis.call('ZREM', KEYS[index + 3], ARGV[1])
end
return 1
"""

READ = _CLOCK + "return {redis.call('GET', KEYS[1]), whole(wall(ARGV[1]))}"

SWAP = """
local before = redis.call('GET', KEYS[1]) or ''
if before ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
