-- Change a pool's limits in place.   ARGV: 1 JSON limits (see apply_limits)   2 clock in us (tests only)
-- -> 1, or 0 when the pool has no state yet (its first tick reads the limits where they are kept)
local state, loaded = load_state()
if not state.base then return 0 end
local now = math.max(state.gt, (clock_us(ARGV[2]) - state.base) / 1000000)
apply_limits(state, cjson.decode(ARGV[1]), now)
save_state(state, loaded)
return 1
