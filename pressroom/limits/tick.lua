-- One round trip: settle what finished, take back what was refused or unused, learn from headers, give start times.
-- ARGV: 1 JSON {worker, held, lease_s, settled, rejected, acquire}   2 clock in us (tests only)
--   held      calls this worker has in flight now: absolute, so a lost reply can leak nothing
--   settled   {sequence, epoch, estimate, actual, headers or 0, at_us, before, generation}
--   rejected  {sequence, epoch, estimate, retry_after, unit or 0, headers or 0, at_us, before, slow_down, stated or 0,
--              generation}
--   estimate, actual, acquire, before: {requests, tokens, images}; before: what was charged before this call
--   headers   {{limit, remaining, window or 0} or 0 for requests, tokens, images}
--   retry_after 0: slot not used     stated: {dimension, limit}     generation: of the grant
-- -> {-1} when there is no state, else
--    {granted, now_us, poll_after_us, paused_for_us, epoch, charged x 3, generation, offset_us...}
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
retry_stated(S, now)
find_active()
refill(S, active, now, elapsed)
raise_ramp(S, active, elapsed)
S.rx = S.rx * 0.5 ^ (elapsed / EXTRA_HALF_S)
local recovered = RECOVER * elapsed * math.max(1, (now - S.cut) / QUIET_S)
for _, entry in ipairs(active) do
  local f = entry.f
  S[f.g] = math.min(1, S[f.g] + recovered)
  S[f.v] = S[f.v] * math.exp(-elapsed / RATE_WINDOW_S)
end

local calls = calls_per_second(S, active)
choose_bins(S, calls)

-- What a call took turned out otherwise than charged.
local function account(unit, units)
  S['a' .. unit] = S['a' .. unit] + units
  for _, entry in ipairs(active) do
    if entry.unit == unit and S[entry.f.l] then S[entry.f.l] = S[entry.f.l] - units end
  end
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

-- Workers: field -> "held|last sequence|expires|waiting"
local count, others, mine = 0, 0, nil
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

local newest_told
-- `taken`: units of the call itself, which its headers count already.
local function observe(headers, taken, at, before)
  if headers == 0 then return end
  local healthy, levels = true, {}
  local first = at and at >= S.bz and not S.fresh
  local weight = first and 1 or math.max(LEARN_MIN, math.min(LEARN_MAX, 2 / calls))
  for unit = 1, 3 do
    local quota = headers[unit]
    if quota ~= 0 then
      if learn(S, unit, quota, now, at) then find_active() end
      if quota[2] < 0.1 * quota[1] then healthy = false end
    end
  end
  for _, entry in ipairs(active) do
    local f, quota = entry.f, headers[entry.unit]
    if at and quota ~= 0 then
      local told, since = quota[2] + taken[entry.unit], S['a' .. entry.unit] - before[entry.unit]
      if S[f.C] == quota[1] then
        correct(S, f, told, since, now - at, weight, in_flight, now)
        levels[entry.unit] = {told, before[entry.unit]}
        if at >= S.bz then S.fresh = 1 end
        newest_told = math.max(newest_told or at, at)
      elseif entry.day and quota[3] > 3600 then
        correct_day(S, entry, quota[1] - told, since, at)
      end
    end
  end
  if next(levels) and not is_settling(S, in_flight) then gather(S, at, levels) end
  if healthy then S.cold = nil end
end

-- Recalled before it began: its charge by the minute is forgotten already, and what left all the same is owed.
local function recalled(generation, at_us) return generation < S.gn and (at_us - S.base) / 1000000 > S.vo end

local NOTHING = {0, 0, 0}
local function penalize(item)
  local retry_after, unit, headers, slow_down, stated = item[4], item[5], item[6], item[9], item[10]
  S.rejected = S.rejected + 1
  narrow(S, item[2] == S.ep and (item[7] - S.base) / 1000000 or now, now)
  local until_ = now + math.min(retry_after, RETRY_AFTER_MAX_S)
  local whole_pool = unit == 0 or unit == 1
  local cut = now - S.cut > 1
  if stated ~= 0 then
    believe(S, stated[1], stated[2], now)
    find_active()
  end
  local rest = 0
  if slow_down == 1 then
    hold_ramp(S, active, now)
  else
    rest = explain_refusal(S, active, item, in_flight, cut)
  end
  if whole_pool then S.pause = math.max(S.pause, until_) end
  for _, entry in ipairs(active) do
    if not entry.day then
      local f, named = entry.f, unit == 0 or entry.unit == unit
      -- + T: what follows a 429 starts without burst credit, so the end of the pause releases no herd
      if whole_pool or named then S[f.t] = math.max(S[f.t], until_ + S[f.T]) + rest end
      if cut and named then
        S[f.g] = math.max(G_MIN, S[f.g] * CUT)
        S[f.t] = S[f.t] + REST_S
      end
    end
  end
  if cut then S.cut = now end
end

-- An item counts once (sequence) and only against the state that charged it (epoch).
local newest, answered = last, 0
for _, item in ipairs(request.settled) do
  if item[1] > last then
    newest = math.max(newest, item[1])
    local known = item[2] == S.ep
    observe(item[5], item[4], known and (item[6] - S.base) / 1000000, item[7])
    if known then
      answered = answered + 1
      local forgotten = recalled(item[8], item[6])
      for unit = 1, 3 do
        if item[4][unit] ~= item[3][unit] then account(unit, item[4][unit] - item[3][unit]) end
      end
      for _, entry in ipairs(active) do
        local unit, f = entry.unit, entry.f
        local cap = entry.R * entry.dim.period
        local estimate, actual = math.min(item[3][unit], cap), math.min(item[4][unit], cap)
        if estimate == 0 then
          S[f.z] = S[f.z] + 0.1 * (actual - S[f.z])
          if S[f.z] < 0.5 then S[f.z] = 0 end
        end
        local charged = forgotten and not entry.day and 0 or estimate
        if actual ~= charged then owe(entry, actual - charged) end
        S[f.e] = S[f.e] + 0.01 * (actual - estimate - S[f.e])
        if estimate > 0 then
          S[f.w] = S[f.w] + 0.02 * (math.min(1, math.abs(actual - estimate) / estimate) - S[f.w])
        end
      end
    end
  end
end
for _, item in ipairs(request.rejected) do
  if item[1] > last then
    newest = math.max(newest, item[1])
    local known, refused = item[2] == S.ep, item[4] > 0
    observe(item[6], NOTHING, known and (item[7] - S.base) / 1000000, item[8])
    if known then
      for unit = 1, 3 do
        if item[3][unit] ~= 0 and not (refused and unit == 1) then account(unit, -item[3][unit]) end
      end
      for _, entry in ipairs(active) do
        local unit = entry.unit
        -- a refused call may still count as a request; tokens and images it did not use
        if (not refused or unit ~= 1) and (entry.day or not recalled(item[11], item[7])) then
          local units = math.min(item[3][unit], entry.R * entry.dim.period)
          if units > 0 then owe(entry, -units) end
        end
      end
    end
    if refused then penalize(item) end
  end
end

store_bins(S)
balance(S, active)
if #request.acquire > 0 then begin_spell(S, now) end
speed_up(S, calls, newest_told)
grow_burst(S, active, now)
widen(S, answered, in_flight)

-- rates of this tick
local warm = S.cold and math.min(1, 0.5 + 0.5 * (now - S.cold) / COLD_S) or 1
if warm == 1 then S.cold = nil end
for _, entry in ipairs(active) do
  entry.r = entry.day and entry.R or pace(S, entry, warm, in_flight)
  entry.cap = entry.R * entry.dim.period
end

-- acquire, first come first served: stop at the first that does not fit, and charge it nothing
local stopped = redis.call('GET', KEYS[3])
local slots, again = {}, 0
local charged = {}
for unit = 1, 3 do charged[unit] = string.format('%.17g', S['a' .. unit]) end
local kmin = math.max(1, math.min(4, 2 / math.max(S.sp, 0.001)))
local horizon = math.max(0.5, 2 * kmin * S.sp)
local start = math.max(now, S.pause)

local is_blind = blind_to(S, active)
if #request.acquire > 0 then S.pb = is_blind(request.acquire[1]) and 1 or nil end

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
      if need > 0 and S[f.l] then slot = math.max(slot, now + until_it_fits(S, f, need, in_flight)) end
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
        -- what is owed to us is not taken while the provider refuses and its bucket is lower than we want it
        local least = entry.low and 0 or -0.3 * units
        extra = math.max(least, math.min(0.5 * units, debt * math.min(1, units / (entry.R * SMOOTH_S))))
        S[f.b] = debt - extra
      end
      S[f.t] = math.max(S[f.t], start) + (units + extra) / entry.r
      S[f.v] = S[f.v] + units
      S[f.c] = S[f.c] == 0 and units or S[f.c] + 0.05 * (units - S[f.c])
    end
  end
  for unit = 1, 3 do
    if cost[unit] ~= 0 then account(unit, cost[unit]) end
  end
  S.ls = math.max(S.ls, slot)
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
    if is_blind(cost) and not may_probe(S, in_flight + #slots, now) then
      again = math.min(PROBE_AGAIN_MOST_S, math.max(PROBE_AGAIN_S, count * 0.02))
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
if #slots > 0 then S.gl = now end
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
  math.ceil(paused_for * 1000000), S.ep, charged[1], charged[2], charged[3], S.gn}
for i = 1, #slots do reply[9 + i] = slots[i] end
return reply
