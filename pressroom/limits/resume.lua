-- Lift an operator's pause and a 429's.   ARGV: 1 clock in us (tests only)   -> 1 if anything was lifted
local lifted = redis.call('DEL', KEYS[3])
local state, loaded = load_state()
if not state.base then return lifted end
local now = math.max(state.gt, (clock_us(ARGV[1]) - state.base) / 1000000)
if state.pause > now then
  state.pause = now
  lifted = 1
  for _, dim in ipairs(DIMS) do
    local f = FIELD[dim.name]
    if state[f.R] and not dim.day then state[f.t] = math.min(state[f.t], now + state[f.T]) end
  end
  save_state(state, loaded)
end
return lifted
