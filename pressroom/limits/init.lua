-- Make a pool's state if there is none: safe to call from any number of workers at once.
-- ARGV: 1 JSON {limits, learned_burst or -1, stated = {{dimension, per second, seconds ago}, ...}, running, lost,
--       day_used = {requests, tokens, images}, lease_s}
--       2 clock in us (tests only)
-- -> {1 if made else 0, epoch}
local request = cjson.decode(ARGV[1])
local state, loaded = load_state()
if state.base then return {0, state.ep} end
local now_us = clock_us(ARGV[2])
state = {base = now_us, ep = string.format('e%.0f', now_us), gt = 0, pause = 0, poll = 0, sp = 0, cut = -1,
         granted = 0, rejected = 0, a1 = 0, a2 = 0, a3 = 0, m = 1, mt = 0, bz = 0, gl = 0, ls = 0, rx = 0, tT = 0, wT = GROW_S,
         gn = 0, vo = -1, pw = PROBES, pg = 0, pn = 0, fh = 0}
if request.learned_burst >= 0 then state.lT = request.learned_burst end
if request.lost then state.cold = 0 end
apply_limits(state, request.limits, 0)
for _, one in ipairs(request.stated) do
  for _, dim in ipairs(DIMS) do
    if dim.name == one[1] then
      local f = FIELD[dim.name]
      state[f.lR], state[f.xR] = one[2], one[2]
      state.xt = math.max(state.xt or -one[3], -one[3])
      choose_rate(state, dim, 0)
    end
  end
end
for _, dim in ipairs(DIMS) do
  local f = FIELD[dim.name]
  if state[f.R] then
    if dim.day then
      state[f.t] = request.day_used[dim.unit] / state[f.R]
    else
      state[f.t] = math.max(0, state[f.T] - START_CREDIT_S)      -- no stored burst: nobody knows the bucket's level
    end
  end
end
redis.call('DEL', KEYS[2])
if request.running > 0 then
  -- Calls that were in flight before the state was lost hold their places until their workers report, or a lease ends.
  redis.call('HSET', KEYS[2], '~before', string.format('%.17g|0|%.17g|0', request.running, request.lease_s))
  redis.call('EXPIRE', KEYS[2], TTL_S)
end
save_state(state, {})
return {1, state.ep}
