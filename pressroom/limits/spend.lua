-- Stored quota: how fast a pool may go beyond its rate, how far down, and what refusals teach about that.

local RESERVE_S = 0.25                    -- never planned away: so much of the rate,
local RESERVE_SHARE, RESERVE_ERRORS = 0.01, 0.3   -- of the limit, and more where estimates are far off,
local RESERVE_CALLS, RESERVE_DEVIATIONS = 2, 4    -- calls, deviations of what headers say from what we expect
local FLOOR_S = 0.05                      -- a hidden bucket need not be fuller than this from full
local WARY_S = 10                         -- so long after a refusal nothing owed to us is taken below the floor
local GUARD_S, GUARD_DEVIATIONS, GUARD_ERRORS = 0.1, 3, 2.5   -- left by a call that is larger than others
local SPEND_S = 1                         -- near its end credit is spent over about this long
local RESTORE, RESTORE_MOST = 0.07, 0.1   -- per second, and of the rate: below the floor we go slower
local RISK_CALLS = 8                   -- calls a second beyond the rate, until it is proven that credit can be spent
local SPEED_MIN, SPEED_UNPROVEN, SPEED_MAX = 1.25, 4, 16
local IDLE_S, IDLE_CALLS = 2, 4
local QUANTUM_MIN_S, QUANTUM_MARGIN_S = 0.04, 0.5   -- 0.04, not 0.05: a learned burst must not look like the default
local REST_MOST_S = 1
local HIDDEN_SHARE = 0.2                  -- refused with more than this left: not by the bucket that headers show
local EXTRA_S, EXTRA_MOST_S = 0.25, 3
local RAMP_FACTOR, RAMP_S = 1.5, 900

local function calls_per_second(state, active)
  local least
  for _, entry in ipairs(active) do
    local c = state[entry.f.c]
    if not entry.day and c > 0 then least = math.min(least or entry.R / c, entry.R / c) end
  end
  return least or 1
end

-- The level under which we do not plan to go.
local function floor_of(state, f)
  local C, Q, c = state[f.C], state[f.Q], state[f.c]
  local least = math.max((RESERVE_S + state.rx) * Q, (RESERVE_SHARE + RESERVE_ERRORS * state[f.w]) * C, RESERVE_CALLS * c,
    RESERVE_DEVIATIONS * math.sqrt(state[f.n]))
  least = math.min(least, 0.5 * C) + (1 - state.share) * C
  if state.lT or state.fixed then
    -- a hidden bucket is drained as the announced one is, from where both were full
    local burst = math.max(state[f.T], FLOOR_S) * Q
    least = math.max(least, math.min(C, state[f.h] or C) - math.max(burst, FULL_CALLS * c))
  end
  return least
end

-- What the next call would find above the floor: it starts after the last that was granted, and what is in flight will
-- turn out to cost so much more (or less) than charged.
local function credit_of(state, f, in_flight)
  local lead = math.max(0, state.ls - state.gt)
  local level = state[f.l] - in_flight * state[f.e] + (state[f.Q] - foreign(state, f)) * lead
  return math.min(level, state[f.C]) - floor_of(state, f)
end

-- Seconds from now until the announced bucket holds a call of `need` units whole: large ones must wait for it.
local function until_it_fits(state, f, need, in_flight)
  local guard = math.max(GUARD_S * state[f.Q], GUARD_DEVIATIONS * math.sqrt(state[f.n]))
  local wanted = math.min(0.9 * state[f.C], need * (1 + GUARD_ERRORS * state[f.w]) + guard)
  local missing = wanted - (state[f.l] - in_flight * state[f.e])
  return missing > 0 and missing / (state[f.Q] - foreign(state, f)) or 0
end

-- Units a second that a minute's dimension may take now.
local function pace(state, entry, warm, in_flight)
  local f, R = entry.f, entry.R
  local ours = R * state[f.g] * warm
  local rate = ours
  state[f.o] = nil
  if state[f.l] then
    local Q, others = state[f.Q], foreign(state, f)
    local left, over = Q * state[f.g] * warm - others, credit_of(state, f, in_flight)
    entry.low = over < 0 and state.gt - state.cut < WARY_S
    if over < 0 then
      rate = math.min(ours, left + math.max(RESTORE * over, -RESTORE_MOST * Q))
    else
      rate = math.min(ours, left)
      if others == 0 and warm == 1 and R >= 0.98 * Q * state.share then
        rate = rate + math.min((state.m - 1) * R, over / SPEND_S)
        if not (state.lT or state.fixed) then state[f.o] = over end
      end
    end
  end
  return math.max(0.05 * R, math.min(rate, state[f.rc] or rate))
end

-- A new busy spell: what the buckets hold is not known before a header of it.
local function begin_spell(state, now)
  if now - state.gl > math.max(IDLE_S, IDLE_CALLS * state.sp) then
    state.bz, state.m, state.mt, state.fresh = now, 1, now, nil
    for _, dim in ipairs(DIMS) do state[FIELD[dim.name].h] = nil end
  end
end

-- `newest`: start of the latest call of which a header came. One that started at the present speed confirms it.
local function speed_up(state, calls, newest)
  if state.lT or state.fixed then
    state.m = 1
    return
  end
  if not newest or newest < state.mt then return end
  local most = SPEED_MAX
  if not state.proven then
    most = math.max(SPEED_MIN, math.min(SPEED_UNPROVEN, 1 + RISK_CALLS / calls))
  end
  state.m = math.min(most, 2 * state.m)
  state.mt = state.gt
end

-- A refusal while the announced bucket holds plenty: there is a shorter one that no header shows. Half of what was
-- drained when it was empty may be used at once from now on. Returns for how long to rest, so that it holds that much.
local function find_quantum(state, drained, now)
  local before = state.lT
  local burst = math.min(drained / 2, drained - QUANTUM_MARGIN_S)
  if state.lT and burst >= state.lT then
    if now - state.tT <= 10 then return 0 end
    burst = state.lT / 2
  end
  -- what grew and was refused again grows more slowly
  if state.lT and state.grew then state.wT = math.min(4 * state.wT, DAY_S) end
  state.lT, state.tT, state.grew, state.proven = math.max(QUANTUM_MIN_S, burst), now, nil, nil
  choose_burst(state)
  return before and 0 or math.min(REST_MOST_S, math.max(0, drained - state.lT))
end

local function grow_burst(state, active, now)
  if not state.lT or now - math.max(state.tT, state.cut) < state.wT then return end
  local most = 60
  for _, entry in ipairs(active) do
    if state[entry.f.C] then most = math.min(most, state[entry.f.C] / state[entry.f.Q]) end
  end
  state.lT, state.tT, state.grew = state.lT * 1.5, now, 1
  if state.lT >= most then state.lT = nil end
  choose_burst(state)
end

local function left_of(state, entry, headers, in_flight)
  local quota = headers ~= 0 and headers[entry.unit] or 0
  if quota ~= 0 and quota[1] == state[entry.f.C] then return quota[2] end
  return state[entry.f.l] - in_flight * state[entry.f.e]
end

-- What a refusal says about buckets; returns for how long to rest. `cut`: it is the first of its second.
local function explain_refusal(state, active, item, in_flight, cut)
  local unit, headers, now = item[5], item[6], state.gt
  state.m, state.mt = 1, now
  for _, entry in ipairs(active) do
    local f = entry.f
    if state[f.l] and (unit == 0 or unit == entry.unit) then
      local level = left_of(state, entry, headers, in_flight)
      if level <= HIDDEN_SHARE * state[f.C] then
        state[f.l] = math.min(state[f.l], level)
        if cut then state.rx = math.min(EXTRA_MOST_S, state.rx + EXTRA_S) end
        return 0
      end
    end
  end
  for _, entry in ipairs(active) do
    local f = entry.f
    if state[f.l] and state[f.h] and (unit == 0 and entry.unit == 1 or unit == entry.unit) then
      local drained = math.max(0, state[f.h] - left_of(state, entry, headers, in_flight))
      return find_quantum(state, drained / state[f.Q], now)
    end
  end
  return 0
end

local function hold_ramp(state, active, now)
  local known = RATE_WINDOW_S * (1 - math.exp(-math.max(0.5, now - state.bz) / RATE_WINDOW_S))
  for _, entry in ipairs(active) do
    local f = entry.f
    if not entry.day then
      local lately = math.max(0.05 * entry.R, state[f.v] / known)
      state[f.rc] = math.min(lately, state[f.rc] and 0.9 * state[f.rc] or lately)
    end
  end
end

local function raise_ramp(state, active, elapsed)
  for _, entry in ipairs(active) do
    local f = entry.f
    if state[f.rc] then
      local cap = state[f.rc] * RAMP_FACTOR ^ (elapsed / RAMP_S)
      state[f.rc] = cap < entry.R and cap or nil
    end
  end
end
