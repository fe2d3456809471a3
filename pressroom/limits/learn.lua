-- What headers and refusals say about the limits themselves.

-- Two headers that agree on limit and window set the rate. A window other than a minute must be seen at two levels
-- of use: with fixed windows (reset = end of window) the product changes with use, with a refilling bucket it cannot.
local SEEN = {}
for unit, kind in ipairs({'requests', 'tokens', 'images'}) do
  SEEN[unit] = {limit = 'hl:' .. kind, window = 'hw:' .. kind, used = 'hu:' .. kind, at = 'ha:' .. kind,
    since = 'hs:' .. kind}
end

-- The announced bucket of a minute's limit: another one than before, and what was known of the old one is void.
local function announce(state, f, limit, rate)
  if state[f.C] == limit and state[f.Q] == rate then return end
  state[f.C], state[f.Q], state[f.n], state[f.F], state[f.p] = limit, rate, 0, 0, 0
  state[f.l], state[f.h], state[f.k] = nil, nil, 0
  state.fh = -1
  forget_bins(state)
end

local function near(a, b) return math.abs(a - b) <= 0.02 * b end

-- The window of a unit's announced bucket by the minute, if it is known.
local function known_window(state, unit)
  local f = FIELD[DIMS[unit].name]
  return state[f.C] and state[f.C] / state[f.Q]
end

-- True if a rate of ours may have changed. `at`: when the call started, if we know: one older than another that told, or
-- than our own change, tells of older limits. A lower limit counts at once, as nothing is lost if the next header differs.
local function learn(state, unit, quota, now, at)
  local limit, used, window = quota[1], quota[1] - quota[2], quota[3]
  local known, announced = known_window(state, unit), state[FIELD[DIMS[unit].name].C]
  if window <= 0 and known and limit ~= announced then window = known end     -- too full to tell: but another limit
  if window <= 0 or limit <= 0 then return false end
  local seen, rate, day = SEEN[unit], limit / window, window > 3600
  local limit_before, window_before, used_before = state[seen.limit], state[seen.window], state[seen.used]
  local age = 0
  if at then
    -- the limit changed between two calls, one that told the old limit and this one
    age = now - (at + math.min(at, state[seen.at] or at)) / 2
    local latest = math.max(state[seen.at] or at, state[seen.since] or at)
    if at < latest and limit ~= limit_before then return false end
    state[seen.at] = math.max(state[seen.at] or at, at)
  end
  state[seen.limit], state[seen.window], state[seen.used] = limit, window, used
  local agreed = limit_before == limit and near(window_before, window)
    and (window == 60 or math.abs(used_before - used) >= 0.05 * math.max(used_before, used))
  local lowered = at and known and near(window, known) and limit < FELL * announced
  for _, dim in ipairs(DIMS) do
    if dim.unit == unit and day == (dim.day or false) then
      local f = FIELD[dim.name]
      local expected = state[f.sR] or state[f.lR] or state[f.dR]
      local before = effective_rate(state, f)
      if agreed or lowered then
        if state[f.lR] ~= rate then state[seen.since] = at and now or nil end
        if state[f.lR] ~= rate or not state[f.sR] then state[f.lR], state[f.xR] = rate, nil end
        choose_rate(state, dim, now)
      end
      -- what only confirms our own figure is believed at once
      if not day and (agreed or lowered or not state[f.C] and expected and near(rate, expected)) then
        announce(state, f, limit, rate)
      end
      recall(state, dim, before, age, now)
    end
  end
  return agreed or lowered
end

-- A refusal's own words: the only source for what no header tells. Some name the bucket's size a limit "per minute",
-- so that where headers tell the same unit they are believed instead.
local function believe(state, name, limit, now)
  for _, dim in ipairs(DIMS) do
    local f = FIELD[dim.name]
    if dim.name == name and not state[SEEN[dim.unit].limit] then
      local before = effective_rate(state, f)
      state[f.lR], state[f.xR], state.xt = limit / dim.period, limit / dim.period, now
      choose_rate(state, dim, now)
      recall(state, dim, before, 0, now)
    end
  end
end

-- What refusals stated long ago holds no setting down any longer, and where nothing else is known it rises by itself while
-- it is what holds calls back: limits rise, and words can be wrong. If not, the next refusal says so again.
local function retry_stated(state, now)
  if not state.xt or now - state.xt < STATED_S then return end
  local left, raised = false, false
  for _, dim in ipairs(DIMS) do
    local f = FIELD[dim.name]
    if state[f.xR] and (state[f.sR] or state[SEEN[dim.unit].limit]) then
      state[f.xR] = nil      -- where headers tell of the unit, no words would correct what we tried
      choose_rate(state, dim, now)
    elseif state[f.xR] then
      left = true
      if state[f.v] / RATE_WINDOW_S >= HELD_BACK * state[f.R] then
        raised = true
        state[f.lR] = RAISE * state[f.xR]
        state[f.xR] = state[f.lR]
        choose_rate(state, dim, now)
      end
    end
  end
  if raised then state.xt = now elseif not left then state.xt = nil end
end

-- A day's bucket: `used` just before the call, as its header says, counts; `since` is what we charged from it on.
local function correct_day(state, entry, used, since, at)
  local t, f = at + (used + since) / entry.R, entry.f
  if t > state[f.t] then
    state[f.t] = t
  elseif t < state[f.t] - 0.02 * DAY_S then
    state[f.t] = state[f.t] + 0.1 * (t - state[f.t])
  end
end
