-- One round trip: settle what finished, take back what was refused or unused, learn from headers, give start times.
-- ARGV: 1 JSON {worker, held, lease_s, settled, rejected, acquire}   2 clock in us (tests only)
--   held      calls this worker has in flight now: absolute, so a lost reply can leak nothing
--   settled   {sequence, epoch, estimate, actual, headers or 0}          estimate, actual, acquire: {requests, tokens, images}
--   rejected  {sequence, epoch, estimate, retry_after, unit or 0, headers or 0}     retry_after 0: slot not used
--   headers   {{limit, remaining, window or 0} or 0 for requests, tokens, images}
-- -> {-1} when there is no state, else {granted, now_us, poll_after_us, paused_for_us, epoch, offset_us...}
local request = cjson.decode(ARGV[1])
local S, loaded = load_state()
if not S.base then return {-1} end
local now = math.max(S.gt, (clock_us(ARGV[2]) - S.base) / 1000000)       -- the server's clock stepped back: hold
local elapsed = now - S.gt
S.gt = now

local active                                                             -- the dimensions that have a limit
local function find_active()
  active = {}
  for _, dim in ipairs(DIMS) do
    local f = FIELD[dim.name]
    if S[f.R] then active[#active + 1] = {dim = dim, f = f, unit = dim.unit, day = dim.day, R = S[f.R]} end
  end
end
find_active()
local recovered = RECOVER * elapsed * math.max(1, (now - S.cut) / QUIET_S)
for _, entry in ipairs(active) do
  local f = entry.f
  S[f.g] = math.min(1, S[f.g] + recovered)
  S[f.v] = S[f.v] * math.exp(-elapsed / RATE_WINDOW_S)
end

local function owe(entry, units)
  local f, R = entry.f, entry.R
  if entry.day then
    S[f.t] = math.max(S[f.t], now) + units / R
    return
  end
  local debt, most = S[f.b] + units, SMOOTH_S * R
  if debt > most then
    S[f.t] = math.max(S[f.t], now) + (debt - most) / R
    debt = most
  elseif debt < -most then
    S[f.t] = S[f.t] + (debt + most) / R
    debt = -most
  end
  S[f.b] = debt
end

-- Two headers that agree on limit and window set the rate. A window other than a minute must be seen at two levels
-- of use: with fixed windows (reset = end of window) the product changes with use, with a refilling bucket it cannot.
local SEEN = {}
for unit, kind in ipairs({'requests', 'tokens', 'images'}) do
  SEEN[unit] = {limit = 'hl:' .. kind, window = 'hw:' .. kind, used = 'hu:' .. kind}
end
local function learn(unit, quota)
  local limit, used, window = quota[1], quota[1] - quota[2], quota[3]
  if window <= 0 or limit <= 0 then return end
  local seen = SEEN[unit]
  local limit_before, window_before, used_before = S[seen.limit], S[seen.window], S[seen.used]
  S[seen.limit], S[seen.window], S[seen.used] = limit, window, used
  if limit_before ~= limit or math.abs(window_before - window) > 0.02 * window then return end
  if window ~= 60 and math.abs(used_before - used) < 0.05 * math.max(used_before, used) then return end
  for _, dim in ipairs(DIMS) do
    if dim.unit == unit and (window > 3600) == (dim.day or false) then
      local f = FIELD[dim.name]
      if S[f.lR] ~= limit / window then
        S[f.lR] = limit / window
        choose_rate(S, dim, now)
        find_active()
      end
      if dim.day and S[f.R] then S[f.t] = math.max(S[f.t], now + used / S[f.R]) end
    end
  end
end

local function observe(headers)
  if headers == 0 then return end
  local healthy = true
  for unit = 1, 3 do
    local quota = headers[unit]
    if quota ~= 0 then
      learn(unit, quota)
      if quota[2] < 0.1 * quota[1] then healthy = false end
    end
  end
  if healthy then S.cold = nil end
end

local function penalize(retry_after, unit)
  S.rejected = S.rejected + 1
  local until_ = now + math.min(retry_after, RETRY_AFTER_MAX_S)
  local whole_pool = unit == 0 or unit == 1
  local cut = now - S.cut > 1
  if whole_pool then S.pause = math.max(S.pause, until_) end
  for _, entry in ipairs(active) do
    if not entry.day then
      local f, named = entry.f, unit == 0 or entry.unit == unit
      -- + T: what follows a 429 starts without burst credit, so the end of the pause releases no herd
      if whole_pool or named then S[f.t] = math.max(S[f.t], until_ + S[f.T]) end
      if cut and named then
        S[f.g] = math.max(G_MIN, S[f.g] * CUT)
        S[f.t] = S[f.t] + REST_S
      end
    end
  end
  if cut then S.cut = now end
end

-- Workers: field -> "held|last sequence|expires|waiting"
local workers, count, others, mine = {}, 0, 0, nil
local before_held, before_expires
local flat = redis.call('HGETALL', KEYS[2])
for i = 1, #flat, 2 do
  local held, sequence, expires = string.match(flat[i + 1], '^([^|]+)|([^|]+)|([^|]+)|')
  held, sequence, expires = tonumber(held), tonumber(sequence), tonumber(expires)
  if flat[i] == request.worker then
    mine = {held = held, sequence = sequence}
  elseif expires <= now then
    redis.call('HDEL', KEYS[2], flat[i])            -- a worker died: its calls in flight come back
  elseif flat[i] == '~before' then
    before_held, before_expires = held, expires
  else
    count = count + 1
    others = others + held
  end
end
count = count + 1
local last = mine and mine.sequence or 0
if not mine and before_held and request.held > 0 then
  before_held = math.max(0, before_held - request.held)
  redis.call('HSET', KEYS[2], '~before', string.format('%.17g|0|%.17g|0', before_held, before_expires))
end
local in_flight = others + (before_held or 0) + request.held

-- An item counts once (sequence) and only against the state that charged it (epoch).
local newest = last
for _, item in ipairs(request.settled) do
  if item[1] > last then
    newest = math.max(newest, item[1])
    observe(item[5])
    if item[2] == S.ep then
      for _, entry in ipairs(active) do
        local unit, f = entry.unit, entry.f
        local cap = entry.R * entry.dim.period
        local estimate, actual = math.min(item[3][unit], cap), math.min(item[4][unit], cap)
        if estimate == 0 then
          S[f.z] = S[f.z] + 0.1 * (actual - S[f.z])
          if S[f.z] < 0.5 then S[f.z] = 0 end
        end
        if actual ~= estimate then owe(entry, actual - estimate) end
      end
    end
  end
end
for _, item in ipairs(request.rejected) do
  if item[1] > last then
    newest = math.max(newest, item[1])
    observe(item[6])
    local refused = item[4] > 0
    if item[2] == S.ep then
      for _, entry in ipairs(active) do
        local unit = entry.unit
        -- a refused call may still count as a request; tokens and images it did not use
        if not refused or unit ~= 1 then
          local units = math.min(item[3][unit], entry.R * entry.dim.period)
          if units > 0 then owe(entry, -units) end
        end
      end
    end
    if refused then penalize(item[4], item[5]) end
  end
end

-- rates of this tick
local warm = S.cold and math.min(1, 0.5 + 0.5 * (now - S.cold) / COLD_S) or 1
if warm == 1 then S.cold = nil end
for _, entry in ipairs(active) do
  entry.r = entry.day and entry.R or entry.R * S[entry.f.g] * warm
  entry.cap = entry.R * entry.dim.period
end

-- acquire, first come first served: stop at the first that does not fit, and charge it nothing
local stopped = redis.call('GET', KEYS[3])
local slots, again = {}, 0
local kmin = math.max(1, math.min(4, 2 / math.max(S.sp, 0.001)))
local horizon = math.max(0.5, 2 * kmin * S.sp)
local start = math.max(now, S.pause)

local function try(cost)
  local slot, spacing, needs = start, 0, {}
  for i, entry in ipairs(active) do
    local f = entry.f
    local need = math.min(cost[entry.unit], entry.cap)
    if need == 0 and S[f.z] > 0 and S[f.b] > 0 then need = -math.min(S[f.b], S[f.z]) end   -- zeros here were not zeros
    needs[i] = need
    if need ~= 0 then
      local seconds = math.abs(need) / entry.r
      slot = math.max(slot, S[f.t] - math.max(0, S[f.T] - seconds))
      if not entry.day then spacing = math.max(spacing, seconds) end
    end
  end
  if slot > now + horizon then return nil, slot end
  for i, entry in ipairs(active) do
    local f, need = entry.f, needs[i]
    if need ~= 0 then
      local units = math.abs(need)
      local debt = S[f.b]
      local extra = 0
      if need < 0 then
        S[f.b] = debt - units
      elseif debt ~= 0 then
        extra = math.max(-0.3 * units, math.min(0.5 * units, debt * math.min(1, units / (entry.R * SMOOTH_S))))
        S[f.b] = debt - extra
      end
      S[f.t] = math.max(S[f.t], start) + (units + extra) / entry.r
      S[f.v] = S[f.v] + units
    end
  end
  S.sp = S.sp == 0 and spacing or S.sp + 0.05 * (spacing - S.sp)
  return slot, slot
end

if stopped then
  if #request.acquire > 0 then again = 1 end
else
  for _, cost in ipairs(request.acquire) do
    if S.maxc > 0 and in_flight + #slots + 1 > S.maxc then
      again = 0.1
      break
    end
    local slot, earliest = try(cost)
    if not slot then
      -- a GCRA for the polls: denied workers come back one after the other, each when about kmin more fit, and none
      -- later than the next free slot, so that workers who do not come back waste nothing
      local gap = math.max(kmin * S.sp, 0.02)
      local opens = earliest - horizon
      S.poll = math.min(math.max(S.poll, opens) + gap, opens + count * gap)
      again = math.max(0.005, math.min(S.poll - now, earliest - now, math.max(2, horizon / 4)))
      break
    end
    slots[#slots + 1] = math.floor((slot - now) * 1000000 + 0.5)
  end
end

S.granted = S.granted + #slots
redis.call('HSET', KEYS[2], request.worker, string.format('%.17g|%.17g|%.17g|%d',
  request.held + #slots, newest, now + request.lease_s, #request.acquire - #slots))
redis.call('EXPIRE', KEYS[2], TTL_S)
save_state(S, loaded)

local paused_for = math.max(0, S.pause - now)
if stopped then
  local left = redis.call('PTTL', KEYS[3])
  paused_for = math.max(paused_for, left / 1000)
end
local reply = {#slots, string.format('%.0f', S.base + now * 1000000), math.ceil(again * 1000000),
  math.ceil(paused_for * 1000000), S.ep}
for i = 1, #slots do reply[5 + i] = slots[i] end
return reply
