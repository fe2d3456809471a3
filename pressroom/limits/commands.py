"""Everything the limiter asks of Redis, without a connection: arguments in, replies read.

Each function returns `Steps` (scripts.py) for a blocking or an asyncio client to drive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pressroom.limits.costs import Cost
from pressroom.limits.headers import Quota, QuotaHeaders
from pressroom.limits.messages import DimensionStatus, PoolStatus, Rejected, Settled
from pressroom.limits.pool_limits import DEFAULT_BURST_SECONDS, DIMENSIONS, PoolLimits, Source
from pressroom.limits.scripts import Steps, script

LAYOUT = 2
"""Of the state and the workers' rows, and part of their keys: raise it when a script cannot go on from what the one
before wrote. A program of another version then finds no state, and starts carefully instead of failing."""
LEASE_SECONDS = 60.0
FOR_EVER_SECONDS = 400 * 86400
_PER_MINUTE = tuple(name for name, period in DIMENSIONS.items() if period == 60)
_UNIT_OF = {None: 0, "requests": 1, "tokens": 2, "images": 3}


@dataclass(frozen=True, slots=True)
class Keys:
    """The three keys of a pool; the hash tag keeps them in one cluster slot. A pause is text, and of no layout."""

    state: str
    workers: str
    stopped: str

    @classmethod
    def of(cls, prefix: str, pool: str) -> Keys:
        """`prefix` comes before everything, for installations that share a server."""
        if not pool or "{" in pool or "}" in pool:
            raise ValueError(f"pool name {pool!r} must be non-empty and free of braces: they mark the cluster hash tag")
        base = f"{prefix}lim:{{{pool}}}"
        return cls(f"{base}:s{LAYOUT}", f"{base}:w{LAYOUT}", f"{base}:p")

    def all(self) -> tuple[str, str, str]:
        """In the order the scripts expect."""
        return (self.state, self.workers, self.stopped)


@dataclass(frozen=True, slots=True)
class Slot:
    """A start time that was granted: by which state and generation, when (server time), the units charged before it."""

    epoch: str
    at_us: int
    before: tuple[float, float, float]
    generation: int = 0


@dataclass(frozen=True, slots=True)
class TickRequest:
    """One tick as the script takes it; reports carry their sequence number and the slot they are about."""

    worker: str
    held: int
    settled: Sequence[tuple[int, Slot, Settled]]
    rejected: Sequence[tuple[int, Slot, Rejected]]
    acquire: Sequence[Cost]
    lease_seconds: float = LEASE_SECONDS

    def to_json(self) -> str:
        """The script's first argument."""
        return json.dumps(
            {
                "worker": self.worker,
                "held": self.held,
                "lease_s": self.lease_seconds,
                "settled": [_settled_argument(*item) for item in self.settled],
                "rejected": [_rejected_argument(*item) for item in self.rejected],
                "acquire": [cost.units() for cost in self.acquire],
            }
        )


@dataclass(frozen=True, slots=True)
class TickReply:
    """What the script answered, in seconds."""

    slots: list[float]
    now_us: int
    poll_after: float
    paused_for: float
    epoch: str
    charged: tuple[float, float, float]
    """Units that this state had charged before these slots."""
    generation: int = 0
    """Of these slots; those of earlier ones that are still to come are void."""


def _settled_argument(number: int, slot: Slot, one: Settled) -> list[Any]:
    headers = headers_argument(one.headers)
    return [
        number,
        slot.epoch,
        one.estimate.units(),
        one.actual.units(),
        headers,
        slot.at_us,
        slot.before,
        slot.generation,
    ]


def _rejected_argument(number: int, slot: Slot, one: Rejected) -> list[Any]:
    headers, unit = headers_argument(one.headers), _UNIT_OF[one.dimension]
    stated = [one.stated.dimension, one.stated.limit] if one.stated else 0
    about = [number, slot.epoch, one.estimate.units(), one.retry_after, unit, headers]
    return [*about, slot.at_us, slot.before, int(one.slow_down), stated, slot.generation]


def headers_argument(headers: QuotaHeaders | None) -> Any:
    """Per unit `[limit, remaining, window or 0]` or 0; 0 for none at all."""
    if not headers:
        return 0

    def one(quota: Quota | None) -> Any:
        return 0 if quota is None else [quota.limit, quota.remaining, quota.window_seconds() or 0]

    return [one(headers.requests), one(headers.tokens), one(headers.images)]


def limits_argument(limits: PoolLimits) -> dict[str, Any]:
    """Limits as `apply_limits` in common.lua reads them."""
    return {
        "burst": limits.burst_seconds,
        "fixed": limits.burst_seconds != DEFAULT_BURST_SECONDS,
        "share": limits.max_share,
        "concurrency": limits.concurrency or 0,
        "setting": limits.per_second(source="setting"),
        "default": limits.per_second(source="default"),
    }


def tick_steps(keys: Keys, request: TickRequest, clock_us: str = "") -> Steps[TickReply | None]:
    """Run the tick script; None when the pool has no state."""
    reply = yield from script("tick").call(keys.all(), request.to_json(), clock_us)
    if len(reply) == 1:
        return None
    count, now_us, poll_us, paused_us, epoch, requests, tokens, images, generation, *offsets = reply
    return TickReply(
        slots=[int(offset) / 1e6 for offset in offsets[: int(count)]],
        now_us=int(now_us),
        poll_after=int(poll_us) / 1e6,
        paused_for=int(paused_us) / 1e6,
        epoch=_text(epoch),
        charged=(float(requests), float(tokens), float(images)),
        generation=int(generation),
    )


def init_steps(
    keys: Keys,
    limits: PoolLimits,
    *,
    running: int,
    lost: bool,
    day_used: Cost | None = None,
    lease_seconds: float = LEASE_SECONDS,
    clock_us: str = "",
) -> Steps[str]:
    """Make the pool's state unless there is one; returns the epoch of what exists now."""
    request = {
        "limits": limits_argument(limits),
        "learned_burst": -1 if limits.learned_burst_seconds is None else limits.learned_burst_seconds,
        "stated": [[s.dimension, s.limit / DIMENSIONS[s.dimension], s.age_seconds] for s in limits.stated],
        "running": running,
        "lost": lost,
        "day_used": (day_used or Cost(0)).units(),
        "lease_s": lease_seconds,
    }
    reply = yield from script("init").call(keys.all(), json.dumps(request), clock_us)
    return _text(reply[1])


def set_limits_steps(keys: Keys, limits: PoolLimits, clock_us: str = "") -> Steps[bool]:
    """Change limits in place; False when the pool has no state yet."""
    reply = yield from script("set_limits").call(keys.all(), json.dumps(limits_argument(limits)), clock_us)
    return int(reply) == 1


def pause_steps(keys: Keys, seconds: float | None, reason: str) -> Steps[None]:
    """Stop the pool for `seconds`, or until resumed when None."""
    if seconds is not None and seconds <= 0:
        raise ValueError(f"pause of {seconds!r} seconds: give more than 0, or none to pause until resumed")
    milliseconds = int((FOR_EVER_SECONDS if seconds is None else seconds) * 1000)
    yield ("SET", keys.stopped, reason or "paused", "PX", max(1, milliseconds))


def resume_steps(keys: Keys, clock_us: str = "") -> Steps[bool]:
    """Lift an operator's pause and a 429's; False when the pool was not paused."""
    reply = yield from script("resume").call(keys.all(), clock_us)
    return int(reply) == 1


def forget_steps(keys: Keys) -> Steps[None]:
    """Delete everything about the pool."""
    yield ("DEL", *keys.all())


def status_steps(keys: Keys, pool: str, clock_us: str = "") -> Steps[PoolStatus]:
    """Read the pool without changing anything."""
    now_us, state, workers, reason, left_ms = yield from script("status").call(keys.all(), clock_us)
    stopped = None if reason is None or reason is False else _text(reason)
    return read_status(
        pool,
        state=_pairs(state),
        workers=_pairs(workers),
        now_us=int(now_us),
        stopped=None if stopped is None else (stopped, int(left_ms) / 1000),
    )


def read_status(
    pool: str, *, state: Mapping[str, str], workers: Mapping[str, str], now_us: int, stopped: tuple[str, float] | None
) -> PoolStatus:
    """A pool's status from what Redis holds."""
    reason, left = stopped or (None, None)
    if "base" not in state:
        return PoolStatus(pool, started=False, stopped_reason=reason, stopped_seconds=left)
    now = max(float(state["gt"]), (now_us - float(state["base"])) / 1e6)
    alive = {name: row for name, row in ((n, w.split("|")) for n, w in workers.items()) if float(row[2]) > now}
    return PoolStatus(
        pool,
        started=True,
        epoch=state["ep"],
        dimensions={d: _dimension(state, d, now) for d in DIMENSIONS if f"R:{d}" in state},
        learned=_learned(state),
        stated=_stated(state),
        concurrency=int(float(state["maxc"])) or None,
        in_flight=sum(int(float(row[0])) for row in alive.values()),
        waiting=sum(int(float(row[3])) for row in alive.values()),
        workers={name: int(float(row[0])) for name, row in alive.items()},
        granted=int(float(state["granted"])),
        rejected=int(float(state["rejected"])),
        burst_seconds=min(float(state.get(f"T:{d}", 0.0)) for d in _PER_MINUTE),
        credit={d: credit for d in DIMENSIONS if (credit := _credit(state, d)) is not None},
        paused_seconds=max(0.0, float(state["pause"]) - now),
        stopped_reason=reason,
        stopped_seconds=left,
    )


def _credit(state: Mapping[str, str], name: str) -> float | None:
    """What the last tick found to be spendable; None where nothing may be."""
    return float(state[f"o:{name}"]) if f"o:{name}" in state else None


def _learned(state: Mapping[str, str]) -> dict[str, float]:
    learned = {d: float(state[f"lR:{d}"]) * period for d, period in DIMENSIONS.items() if f"lR:{d}" in state}
    return learned | ({"burst_seconds": float(state["lT"])} if "lT" in state else {})


def _stated(state: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    at = (float(state["base"]) / 1e6 + float(state["xt"])) if "xt" in state else 0.0
    return {d: (float(state[f"xR:{d}"]) * period, at) for d, period in DIMENSIONS.items() if f"xR:{d}" in state}


def _source(state: Mapping[str, str], name: str) -> Source:
    """A refusal's words hold a higher setting down."""
    stated = state.get(f"xR:{name}")
    if stated is not None and float(stated) <= float(state.get(f"sR:{name}", stated)):
        return "refusal"
    return "setting" if f"sR:{name}" in state else "headers" if f"lR:{name}" in state else "default"


def _dimension(state: Mapping[str, str], name: str, now: float) -> DimensionStatus:
    def number(letter: str) -> float:
        return float(state[f"{letter}:{name}"])

    period, rate = DIMENSIONS[name], number("R")
    source = _source(state, name)
    age = now - float(state["gt"])
    lately = number("v") * 2.718281828459045 ** (-age / 10) / 10
    return DimensionStatus(
        limit=rate / float(state["share"]) * period,
        source=source,
        rate=lately * period,
        used=max(0.0, number("t") - now) * rate,
        debt=number("b"),
        factor=number("g"),
        foreign=float(state.get(f"F:{name}", 0.0)) * period,
        level=max(0.0, float(state[f"l:{name}"])) if f"l:{name}" in state else None,
        capacity=float(state[f"C:{name}"]) if f"C:{name}" in state else None,
    )


def _pairs(flat: Sequence[Any]) -> dict[str, str]:
    texts = [_text(value) for value in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
