-- Shared by every limiter script (prepended to it by scripts.py). gcra.py is the same arithmetic in Python, and a
-- property test holds the two together: change both or neither.
--
-- KEYS: 1 state hash   2 workers hash   3 operator's pause
-- Times are seconds (doubles) since `base`, the microsecond at which this state was made: small numbers keep
-- sub-microsecond precision. The clock is the server's; a clock argument is for tests and simulations only.

local TTL_S = 259200            -- three days: longer than the memory of any bucket, refreshed by every tick
local SMOOTH_S = 4              -- a settled difference is worked off over about this long
local CUT, RECOVER = 0.995, 0.00025  -- AIMD on 429: factor, at most once a second; additive recovery per second,
local QUIET_S = 30                   -- the faster the longer it has been quiet, from this on
local G_MIN = 0.3
local REST_S = 0.05             -- with each cut, so much time for the provider's bucket to get off the floor
local COLD_S = 30               -- after lost state: half rate, back to full over this long or at a healthy header
local RETRY_AFTER_MAX_S = 600
local RATE_WINDOW_S = 10        -- time constant of the rate shown to people
local START_CREDIT_S = 0.05     -- a new state starts with at most this much of its burst
local DAY_S = 86400
local STATED_S = 3600           -- so long a limit in a refusal's words holds down a higher setting, or stands alone
local RAISE = 2                 -- then, as the only source, it is tried at so many times itself
local HELD_BACK = 0.5           -- if at least so much of it is in use
local GROW_S = 600              -- a learned burst grows after so long without a 429
local EXTRA_HALF_S = 600        -- the reserve that refusals taught halves in this time
local PROBES = 4                -- calls at once while nothing is known (probe.lua)
local FELL = 0.95                -- a rate that falls below so much of itself voids what was granted by the old one
local RECALL_REST_MOST_S = 1
local DAY_MARGIN_S = 1           -- the provider refills from when calls arrive, we count from when they start
local DIMS = {
  {name = 'rpm', unit = 1, period = 60},
  {name = 'tpm', unit = 2, period = 60},
  {name = 'ipm', unit = 3, period = 60},
  {name = 'rpd', unit = 1, period = DAY_S, day = true},
  {name = 'tpd', unit = 2, period = DAY_S, day = true},
}
-- per dimension: R our rate/s, share applied (absent: no limit) · sR, lR, dR its sources (setting, learned, default)
--   xR what a refusal stated, or was raised from it · rc ramp cap/s after a slow_down
--   T burst tolerance s · t theoretical arrival time · b debt in units · g AIMD factor
--   z mean true cost of calls that had claimed zero · v decayed count, for the rate shown
--   c mean cost of a call · e mean of true cost less estimate
--   w mean deviation of the true cost, as a share of the estimate
-- of those that headers announce, per minute: C the limit, Q its rate/s · l level now, as far as we know · k when it was
--   last full · h highest level told in this busy spell · n variance of what headers said beyond what we expected
--   F rate/s of others · p step of the probe downwards · o credit that may be spent, for people
local PER_DIM = {'R', 'sR', 'lR', 'dR', 'xR', 'rc', 'T', 't', 'b', 'g', 'z', 'v', 'c', 'e', 'w',
                 'C', 'Q', 'l', 'k', 'h', 'n', 'F', 'p', 'o'}
local FIELD = {}
for _, dim in ipairs(DIMS) do
  local names = {}
  for _, letter in ipairs(PER_DIM) do names[letter] = letter .. ':' .. dim.name end
  FIELD[dim.name] = names
end

local function clock_us(argument)
  if argument and argument ~= '' then return tonumber(argument) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function load_state()
  local flat = redis.call('HGETALL', KEYS[1])
  local state, loaded = {}, {}
  for i = 1, #flat, 2 do
    local value = tonumber(flat[i + 1]) or flat[i + 1]
    state[flat[i]] = value
    loaded[flat[i]] = value
  end
  return state, loaded
end

local function save_state(state, loaded)
  local changed, gone = {}, {}
  for name, value in pairs(state) do
    if loaded[name] ~= value then
      changed[#changed + 1] = name
      changed[#changed + 1] = type(value) == 'number' and string.format('%.17g', value) or value
    end
  end
  for name in pairs(loaded) do
    if state[name] == nil then gone[#gone + 1] = name end
  end
  if #changed > 0 then redis.call('HSET', KEYS[1], unpack(changed)) end
  if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
  redis.call('EXPIRE', KEYS[1], TTL_S)
end

-- Setting (but not above what a refusal stated), else learned, else default; of that, our share. Units on their way keep
-- their weight when the rate changes.
local function choose_rate(state, dim, now)
  local f = FIELD[dim.name]
  local old = state[f.R]
  local new = state[f.sR] and math.min(state[f.sR], state[f.xR] or state[f.sR]) or state[f.lR] or state[f.dR]
  new = new and new * state.share
  if new == old then return end
  state[f.R] = new
  if not new then return end
  if not old then
    state[f.t], state[f.b], state[f.g], state[f.z], state[f.v], state[f.c], state[f.e], state[f.w] = now, 0, 1, 0, 0, 0, 0, 0
  elseif state[f.t] > now then
    state[f.t] = now + (state[f.t] - now) * old / new
  end
end

-- What we go by: our rate, and no more than the provider announces.
local function effective_rate(state, f)
  local R, Q = state[f.R], state[f.Q]
  return R and Q and math.min(R, Q * state.share) or R
end

-- The rate fell from `before`: start times given by it and still to come are void, and their holders ask again (`gn`
-- counts these events, `vo` is when the last one was). So nothing is spoken for but what left too fast since the
-- provider changed: `age` seconds of it, which are waited for.
local function recall(state, dim, before, age, now)
  local f = FIELD[dim.name]
  local after = effective_rate(state, f)
  if dim.day or not before or not after or after >= FELL * before then return end
  if state.vo ~= now then
    state.gn, state.vo = state.gn + 1, now
    for _, other in ipairs(DIMS) do
      local o = FIELD[other.name]
      if state[o.R] and not other.day then state[o.t] = math.min(state[o.t], now + state[o.T]) end
    end
  end
  local rest = math.min(RECALL_REST_MOST_S, age * (before / after - 1))
  if state[f.t] > now then state[f.t] = math.max(state[f.t], now + state[f.T] + rest) end
end

-- The burst allowed without asking: what was learned, but no more than was set; a day's bucket is all burst.
local function choose_burst(state)
  local burst = math.min(state.burst, state.lT or state.burst)
  if state.lT and not state.fixed then burst = state.lT end
  for _, dim in ipairs(DIMS) do state[FIELD[dim.name].T] = dim.day and dim.period - DAY_MARGIN_S or burst end
end

-- limits: {burst, fixed (an operator set it), concurrency or 0, share, setting = {rpm = per second, ...}, default = {...}}
local function apply_limits(state, limits, now)
  state.maxc, state.share, state.burst = limits.concurrency, limits.share, limits.burst
  state.fixed = limits.fixed and 1 or nil
  choose_burst(state)
  for _, dim in ipairs(DIMS) do
    local f = FIELD[dim.name]
    local before = effective_rate(state, f)
    state[f.sR], state[f.dR] = limits.setting[dim.name], limits.default[dim.name]
    if state[f.sR] then state[f.xR] = nil end
    choose_rate(state, dim, now)
    recall(state, dim, before, 0, now)
  end
end
