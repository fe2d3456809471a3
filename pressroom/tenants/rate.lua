-- One request of a key against its rate: a bucket that holds one minute's worth and refills evenly (GCRA).
-- KEYS[1]: when the bucket will be full again, in microseconds. ARGV: requests per minute.
-- Answers {1 granted or 0, left, microseconds until one fits, microseconds until full}, as texts: they can be large.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window = 60000000
local gap = window / tonumber(ARGV[1])
-- A clock that stepped back must not lock anybody out for longer than a minute.
local full_at = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or now), now), now + window)
local taken = full_at + gap
if taken - now > window + 0.5 then
  return {0, '0', string.format('%.0f', taken - window - now), string.format('%.0f', full_at - now)}
end
redis.call('SET', KEYS[1], string.format('%.3f', taken), 'PX', math.ceil((taken - now) / 1000) + 1)
return {1, string.format('%.0f', math.floor((window - (taken - now)) / gap + 0.001)), '0', string.format('%.0f', taken - now)}
