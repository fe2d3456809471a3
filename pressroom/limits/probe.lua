-- A pool of whose limits nobody knows anything: a few calls at once, and twice as many with each round trip, until
-- headers or a refusal tell. Where there are no limits it is soon as wide as it takes.

local LOOK_S = 2                 -- a refusal comes quickly: calls that are out so long were admitted
local PROBE_AGAIN_S = 0.05       -- when to ask again, while few are out
local PROBE_AGAIN_MOST_S = 0.2

-- Whether no limit of ours paces such calls: of images per minute no header tells, so others' limits do not count.
local function blind_to(state, active)
  local paced = {false, false, false}
  for _, entry in ipairs(active) do
    if not entry.day then paced[entry.unit] = true end
  end
  return function(cost)
    if state.maxc > 0 then return false end
    if cost[3] > 0 then return not paced[3] end
    return not (paced[1] or paced[2])
  end
end

-- `answered`: calls that ended, `in_flight` those that did not. A window that is not used does not grow.
local function widen(state, answered, in_flight)
  if not state.pb or answered == 0 or in_flight + answered < state.pw / 2 then return end
  local slowly = state.pk and state.pw >= state.pk
  state.pw = state.pw + (slowly and answered / state.pw or answered)
end

-- A refusal of a call that started `at`: half as many from now on, once for all that were on their way.
local function narrow(state, at, now)
  if not state.pb or at < state.pn then return end
  state.pw = math.max(1, state.pw / 2)
  state.pk, state.pn = state.pw, now
end

-- Whether one more may leave. `out`: calls in flight and granted.
local function may_probe(state, out, now)
  if out + 1 > state.pw and now - state.pg >= LOOK_S and not (state.pk and state.pw >= state.pk) then
    state.pw = 2 * state.pw
  end
  if out + 1 > state.pw then return false end
  state.pg = now
  return true
end
