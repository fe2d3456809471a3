"""The scenarios of `python -m benchmarks scenarios`: a load, the limits it meets, and what happens meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks import batches

WARM_UP_SECONDS, TAIL_SECONDS = 5.0, 3.0
EventKind = Literal["limits", "foreign", "flush"]


@dataclass(frozen=True, slots=True)
class Event:
    """What happens at `share` of the steady state: limits times `factor`, foreign calls as a share of them, a flush."""

    kind: EventKind
    share: float
    factor: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Limits as in docs/sandbox.md; `items` of a finite load, or a steady state of so many seconds.

    `told` says what the pool knows of its limits: a setting, a guess that headers may correct, or nothing. `rounds` are
    run one after the other without forgetting what was learned.
    """

    name: str
    about: str
    rpm: float = 0.0
    tpm: float = 0.0
    ipm: float = 0.0
    items: int = 0
    burst_seconds: float = 60.0
    quantum_seconds: float | None = None
    credit_seconds: float | None = None
    latency: tuple[float, float] = (0.5, 0.5)
    steady_seconds: float = 0.0
    told: Literal["setting", "guess", "nothing"] = "setting"
    events: Sequence[Event] = ()
    rounds: int = 1

    @property
    def model(self) -> str:
        """Text or pictures."""
        return batches.IMAGE_MODEL if self.ipm else batches.MODEL

    @property
    def limits(self) -> dict[str, float]:
        """By name, those that there are."""
        named = {"rpm": self.rpm, "tpm": self.tpm, "ipm": self.ipm}
        return {name: value for name, value in named.items() if value}

    @property
    def items_per_second(self) -> float:
        """What the tightest limit lets through at the beginning."""
        if self.ipm:
            return self.ipm / 60
        return min(self.rpm, self.tpm / batches.ITEM_TOKENS) / 60

    def for_seconds(self, seconds: float) -> "Scenario":
        """A steady state of this length, with as many items as it takes."""
        if not self.steady_seconds:
            return self
        busy = replace(self, steady_seconds=seconds)
        ours = busy.allowed(0.0, seconds) - busy.foreign_calls(0.0, seconds)
        before_and_after = (WARM_UP_SECONDS + TAIL_SECONDS) * self.items_per_second
        # Of images no header shows a level, so nobody can know of their credit and spend it.
        credit = 0.0 if self.ipm else (self.credit_seconds or 0.0) * self.items_per_second
        return replace(busy, items=int(ours + before_and_after + credit) + 1)

    def allowed(self, begin: float, end: float) -> float:
        """Items that the limits let through between two moments of the steady state, in seconds from its begin."""
        return self._integral("limits", 1.0, begin, end)

    def foreign_calls(self, begin: float, end: float) -> float:
        """Items that somebody else asks for in that time."""
        return self._integral("foreign", 0.0, begin, end)

    def ideal_seconds(self) -> float:
        """The wall time that the quota allows a finite load, one mean latency included."""
        stored = self.burst_seconds if self.credit_seconds is None else self.credit_seconds
        if self.quantum_seconds is not None:
            stored = min(stored, self.quantum_seconds)
        return max(0.0, self.items / self.items_per_second - stored) + sum(self.latency) / 2

    def sandbox_limits(self, factor: float = 1.0) -> dict[str, Any]:
        """The account's entry in the sandbox's configuration."""
        entry: dict[str, Any] = {name: factor * value for name, value in self.limits.items()}
        return entry | {
            "burst_seconds": self.burst_seconds,
            "quantum_seconds": self.quantum_seconds,
            "credit_seconds": self.credit_seconds,
        }

    def sandbox(self) -> Mapping[str, Any]:
        """The whole configuration."""
        low, high = self.latency
        latency = {"kind": "uniform", "low": low, "high": high}
        return {
            "limits": {self.model: self.sandbox_limits()},
            "latency": {"chat": latency, "images": latency},
            "chat": {"median_tokens": batches.ANSWER_TOKENS, "sigma": 0},
            "keep_calls": 1_000_000,
        }

    def _integral(self, kind: EventKind, factor: float, begin: float, end: float) -> float:
        moments = [(e.share * self.steady_seconds, e.factor) for e in self.events if e.kind == kind]
        total, at = 0.0, begin
        for moment, following in [*sorted(moments), (end, 0.0)]:
            until = min(max(moment, at), end)
            total += (until - at) * factor * self.items_per_second
            at, factor = until, following
        return total


_S1 = Scenario("S1", "300 items, 10 s of stored credit", 600, 60_000, items=300, burst_seconds=10.0)
_FAST = Scenario(
    "steady-10000",
    "saturated at 10,000 RPM and 1.1 M TPM, enforced in half seconds",
    10_000,
    1_100_000,
    burst_seconds=0.5,
    quantum_seconds=0.5,
    latency=(0.3, 0.7),
    steady_seconds=60.0,
)
# A minute's bucket beside the quantum, so that headers show a level; half full, as on an account in use.
_SHARED = replace(_FAST, burst_seconds=60.0, credit_seconds=30.0)
_PICTURES = Scenario("images", "", ipm=5, latency=(4.0, 8.0), credit_seconds=24.0, steady_seconds=60.0)
SCENARIOS = (
    _S1,
    replace(_S1, name="S2", about="900 items, 60 s of stored credit", items=900, burst_seconds=60.0),
    replace(_S1, name="S3", about="S1 with 4 to 6 s latency", latency=(4.0, 6.0)),
    replace(_FAST, name="steady-600", about="saturated at 600 RPM and 60 k TPM", rpm=600, tpm=60_000),
    _FAST,
    replace(_PICTURES, name="images-5", about="5 images a minute, no header says so"),
    replace(_PICTURES, name="images-50", about="50 images a minute", ipm=50),
    replace(_PICTURES, name="images-250", about="250 images a minute", ipm=250),
    replace(
        _FAST,
        name="halved",
        about="10,000 RPM, halved in mid-run; the pool learns it from headers",
        told="guess",
        events=(Event("limits", 0.5, 0.5),),
    ),
    replace(
        _FAST,
        name="doubled",
        about="10,000 RPM, doubled in mid-run",
        rpm=5_000,
        tpm=550_000,
        told="guess",
        events=(Event("limits", 0.5, 2.0),),
    ),
    replace(
        _SHARED,
        name="foreign-20",
        about="another program takes 20 % in the middle half",
        events=(Event("foreign", 0.25, 0.2), Event("foreign", 0.75, 0.0)),
    ),
    replace(
        _SHARED,
        name="foreign-40",
        about="another program takes 40 % in the middle half",
        events=(Event("foreign", 0.25, 0.4), Event("foreign", 0.75, 0.0)),
    ),
    replace(_S1, name="unknown", about="S1, and the pool knows nothing of its limits", told="nothing"),
    replace(
        _FAST,
        name="unknown-10000",
        about="3,000 items at 10,000 RPM in half seconds, of which the pool knows nothing",
        items=3_000,
        burst_seconds=60.0,
        steady_seconds=0.0,
        told="nothing",
    ),
    replace(
        _PICTURES,
        name="unknown-images",
        about="40 images at 50 a minute, of which nothing tells but refusals",
        ipm=50,
        items=40,
        steady_seconds=0.0,
        told="nothing",
    ),
    replace(_FAST, name="flush", about="Valkey is flushed in mid-run", events=(Event("flush", 0.3),)),
    replace(
        _S1,
        name="hidden-quantum",
        about="900 items, 60 s of stored credit and a hidden quantum of 1 s; then again",
        items=900,
        burst_seconds=60.0,
        quantum_seconds=1.0,
        rounds=2,
    ),
)
