-- The provider's level, followed from its headers, and what others take from it.
--
-- A header tells the level at the moment when its call arrived, seconds ago. Since then came refill and what we granted,
-- and both are known: every report brings back its start time `at` and the units charged before it (`before`).

local LEARN_MIN, LEARN_MAX = 0.02, 0.3   -- weight of one header against what is known
local NOTICE = 0.04                      -- share of the rate below which others are noise
local FULL_S, FULL_CALLS = 0.05, 6       -- so little below the limit is full
local BINS = 8                           -- headers are gathered by start time; two bins at least two apart are compared
local BIN_S, BIN_CALLS, SAMPLES = 1, 8, 5
local PROBE_MIN, PROBE_MAX = 0.005, 0.05
local SETTLE_TURNS, SETTLE_MIN_S, SETTLE_MAX_S = 2, 2, 60
local PROVEN_S = 2                       -- no hidden bucket is expected to be larger than this

local function foreign(state, f)
  local F = state[f.F] or 0
  return F > NOTICE * state[f.Q] and F or 0
end

local function refill(state, active, now, elapsed)
  for _, entry in ipairs(active) do
    local f = entry.f
    if state[f.l] then
      local level = state[f.l] + (state[f.Q] - foreign(state, f)) * elapsed
      if level >= state[f.C] then level, state[f.k] = state[f.C], now end
      state[f.l] = level
    end
  end
end

-- `told`: level just before the call was charged. `since`: units we charged from it on. `weight`: of this header.
local function correct(state, f, told, since, age, weight, in_flight, now)
  state[f.h] = math.max(state[f.h] or told, told)
  if state[f.h] - told >= PROVEN_S * state[f.Q] then state.proven = 1 end     -- drained that far, and still admitted
  local inflow = (state[f.Q] - foreign(state, f)) * age
  if not state[f.l] then
    state[f.l] = math.min(state[f.C], told - since + inflow)
    return
  end
  -- calls in flight will turn out to cost e more than charged, and so did those in flight then
  local off = told - (state[f.l] + since - inflow - in_flight * state[f.e])
  if off > 0 and now - age < state[f.k] then return end      -- it was full meanwhile: more was known by then
  local most = 0.2 * state[f.C]
  state[f.n] = state[f.n] + 0.05 * (math.min(off * off, most * most) - state[f.n])
  state[f.l] = math.min(state[f.C], state[f.l] + weight * off)
end

local function read_bin(state, number)
  local text = state['B' .. number % BINS]
  if not text then return nil end
  local bin = {}
  for value in string.gmatch(text, '%S+') do bin[#bin + 1] = tonumber(value) end
  return bin[1] == number and bin or nil
end

-- A bin: number, samples, sum of times, and per unit: samples, sum of levels, sum of levels and units charged before.
local bins = {}                          -- those that this tick adds to
local function forget_bins(state)
  bins, state.nb, state.cb = {}, nil, nil
  for number = 0, BINS - 1 do state['B' .. number] = nil end
end

local function gather(state, at, levels)
  local number = math.floor(at / state.wb)
  local bin = bins[number] or read_bin(state, number) or {number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  bins[number] = bin
  bin[2], bin[3] = bin[2] + 1, bin[3] + at
  for unit = 1, 3 do
    local level = levels[unit]
    if level then
      local i = 1 + 3 * unit
      bin[i], bin[i + 1], bin[i + 2] = bin[i] + 1, bin[i + 1] + level[1], bin[i + 2] + level[1] + level[2]
    end
  end
end

local function store_bins(state)
  for number, bin in pairs(bins) do state.nb = math.max(state.nb or number, number) end
  for number, bin in pairs(bins) do
    if number > state.nb - BINS then
      for i = 1, 12 do bin[i] = string.format('%.17g', bin[i]) end
      state['B' .. number % BINS] = table.concat(bin, ' ') .. ' '
    end
  end
end

local function compare(state, entry, old, new)
  local f, i = entry.f, 1 + 3 * entry.unit
  if not state[f.C] or old[i] < SAMPLES or new[i] < SAMPLES then return end
  local Q, level = state[f.Q], new[i + 1] / new[i]
  if level >= state[f.C] - math.max(FULL_S * Q, FULL_CALLS * state[f.c]) then
    -- full: what others take cannot be seen, only that it is not too much; so try a little more
    state[f.p] = math.min(PROBE_MAX, math.max(PROBE_MIN, 1.5 * state[f.p]))
    state[f.F] = math.max(0, state[f.F] - state[f.p] * Q)
  else
    local seconds = new[3] / new[2] - old[3] / old[2]
    local taken = Q - (new[i + 2] / new[i] - old[i + 2] / old[i]) / seconds
    state[f.p] = 0
    state[f.F] = state[f.F] + 0.5 * (math.max(0, math.min(Q, taken)) - state[f.F])
  end
end

-- The newest bin that is over and has enough samples, against the newest at least two before it.
local function balance(state, active)
  local function find(from, to)
    for number = from, to, -1 do
      local bin = read_bin(state, number)
      if bin and bin[2] >= SAMPLES then return bin end
    end
  end
  if not state.nb then return end
  local new = find(state.nb - 1, state.nb - 5)
  if not new or new[1] == state.cb then return end
  local old = find(new[1] - 2, new[1] - 5)
  if not old then return end
  state.cb = new[1]
  for _, entry in ipairs(active) do
    if not entry.day then compare(state, entry, old, new) end
  end
end

-- After another limit was announced, the number of calls in flight changes, and with it how far what was charged is from
-- what they will take: for two mean latencies that looks as if others came or went, and is not measured.
local function is_settling(state, in_flight)
  if state.fh == -1 then
    state.fh = state.gt + math.min(SETTLE_MAX_S, math.max(SETTLE_MIN_S, SETTLE_TURNS * in_flight * state.sp))
  end
  return state.fh > state.gt
end

-- Bins as wide as it takes for enough calls; another width starts anew.
local function choose_bins(state, calls_per_second)
  local wanted = math.max(BIN_S, BIN_CALLS / math.max(calls_per_second, 0.001))
  if state.wb and wanted < 2 * state.wb and state.wb < 2 * wanted then return end
  state.wb = wanted
  forget_bins(state)
end
