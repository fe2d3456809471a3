"""What others take, from two groups of headers: flow.lua in plain Python (see gcra.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pressroom.limits.bucket import Bucket

BINS, SAMPLES = 8, 5.0
_BIN_SECONDS, _BIN_CALLS = 1.0, 8.0
_SETTLE_TURNS, _SETTLE_MIN_SECONDS, _SETTLE_MAX_SECONDS = 2.0, 2.0, 60.0
_PROBE_MIN, _PROBE_MAX = 0.005, 0.05


@dataclass(slots=True)
class Bin:
    """Headers of calls that started within one stretch. Per unit: samples, levels, and levels with what we charged."""

    number: int
    samples: float = 0.0
    times: float = 0.0
    units: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in range(3)])


@dataclass(slots=True)
class Flow:
    """The bins of one pool. Those that this tick adds to count from its end on."""

    width: float | None = None
    newest: int | None = None
    compared: int | None = None
    stored: dict[int, Bin] = field(default_factory=dict)
    added: dict[int, Bin] = field(default_factory=dict)
    settled_at: float | None = 0.0
    """From when on others' use can be told; None: another limit was just announced."""

    def is_settling(self, in_flight: int, *, spacing: float, now: float) -> bool:
        """Whether the number of calls in flight still changes with a limit, which looks as if others came or went."""
        if self.settled_at is None:
            turns = _SETTLE_TURNS * in_flight * spacing
            self.settled_at = now + min(_SETTLE_MAX_SECONDS, max(_SETTLE_MIN_SECONDS, turns))
        return self.settled_at > now

    def choose_width(self, calls_per_second: float) -> None:
        """As wide as it takes for enough calls; another width starts anew."""
        wanted = max(_BIN_SECONDS, _BIN_CALLS / max(calls_per_second, 0.001))
        if self.width is not None and wanted < 2 * self.width and self.width < 2 * wanted:
            return
        self.width = wanted
        self.forget()

    def forget(self) -> None:
        """Begin to measure anew."""
        self.newest = self.compared = None
        self.stored, self.added = {}, {}

    def gather(self, at: float, levels: Mapping[int, tuple[float, float]]) -> None:
        """A header of a call that started `at`: per unit its level, and the units charged before it."""
        assert self.width is not None
        number = math.floor(at / self.width)
        into = self.added.setdefault(number, self._read(number) or Bin(number))
        into.samples, into.times = into.samples + 1, into.times + at
        for unit, (level, before) in levels.items():
            sums = into.units[unit]
            into.units[unit] = [sums[0] + 1, sums[1] + level, sums[2] + level + before]

    def store(self) -> None:
        """The tick has read all its headers."""
        if not self.added:
            return
        highest = max(self.added)
        self.newest = highest if self.newest is None else max(self.newest, highest)
        for number, one in self.added.items():
            if number > self.newest - BINS:
                self.stored[number % BINS] = one
        self.added = {}

    def balance(self, buckets: Sequence[Bucket]) -> None:
        """The newest bin that is over and has enough samples, against the newest at least two before it."""
        if self.newest is None:
            return
        new = self._find(self.newest - 1, self.newest - 5)
        if new is None or new.number == self.compared:
            return
        old = self._find(new.number - 2, new.number - 5)
        if old is None:
            return
        self.compared = new.number
        for bucket in buckets:
            if not bucket.daily and bucket.announced is not None:
                _compare(bucket, old, new)

    def _find(self, first: int, last: int) -> Bin | None:
        bins = (self._read(number) for number in range(first, last - 1, -1))
        return next((one for one in bins if one is not None and one.samples >= SAMPLES), None)

    def _read(self, number: int) -> Bin | None:
        one = self.stored.get(number % BINS)
        if one is None or one.number != number:
            return None
        return Bin(one.number, one.samples, one.times, [list(sums) for sums in one.units])


def _compare(bucket: Bucket, old: Bin, new: Bin) -> None:
    announced = bucket.announced
    assert announced is not None
    before, after = old.units[bucket.unit], new.units[bucket.unit]
    if before[0] < SAMPLES or after[0] < SAMPLES:
        return
    if after[1] / after[0] >= bucket.full_from():
        announced.step = min(_PROBE_MAX, max(_PROBE_MIN, 1.5 * announced.step))
        announced.others = max(0.0, announced.others - announced.step * announced.rate)
        return
    seconds = new.times / new.samples - old.times / old.samples
    taken = announced.rate - (after[2] / after[0] - before[2] / before[0]) / seconds
    announced.step = 0.0
    announced.others = announced.others + 0.5 * (max(0.0, min(announced.rate, taken)) - announced.others)
