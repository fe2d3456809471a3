"""What a provider's rate-limit headers say. Pure: text in, numbers out.

A bucket that refills continuously has `reset = (limit - remaining) / rate`, so the window behind a limit, which no
header names, is `reset * limit / (limit - remaining)`: a limit of 100 with 0.1 s to refill one request is 100 per
10 s. OpenAI's published samples give 60 and 86,400 s that way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|us|µs|s)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_USUAL_WINDOWS = (1.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 43200.0, 86400.0)
_MOST_UNCERTAIN = 0.12
_RESOLUTION_SECONDS = 0.001


def parse_duration(text: str) -> float | None:
    """Seconds of a Go-style duration (`6m0s`, `41ms`, `1h2m3.5s`) or a plain number; None if it is neither."""
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return seconds if 0 <= seconds < float("inf") else None
    total, position = 0.0, 0
    while match := _DURATION.match(text, position):
        total += float(match[1]) * _UNIT_SECONDS[match[2]]
        position = match.end()
    return total if position and position == len(text) else None


@dataclass(frozen=True, slots=True)
class Quota:
    """One dimension as announced: `limit` units, `remaining` of them, full again in `reset_seconds`."""

    limit: float
    remaining: float
    reset_seconds: float | None = None

    def window_seconds(self) -> float | None:
        """The window behind the limit, or None when the numbers are too coarse to tell.

        Durations are printed in whole milliseconds, which matters when little has been used: within that
        uncertainty the window is taken to be a usual one.
        """
        used = self.limit - self.remaining
        if self.reset_seconds is None or self.reset_seconds <= 0 or used <= 0 or self.limit <= 0:
            return None
        clock = _RESOLUTION_SECONDS / 2 / self.reset_seconds
        if clock > _MOST_UNCERTAIN:
            return None
        window = self.reset_seconds * self.limit / used
        nearest = min(_USUAL_WINDOWS, key=lambda usual: abs(usual - window) / usual)
        if abs(nearest - window) <= (clock + 0.01) * nearest:
            return nearest
        # `remaining` is printed as a whole number, rounded down: up to one unit of the use shown had refilled, so the
        # window may be longer than it looks, and with little used much longer.
        rounding = 1.0 / used
        longest = self.reset_seconds * self.limit / (used - 1.0) if used > 1.0 else math.inf
        possible = [usual for usual in _USUAL_WINDOWS if window * (1 - clock - 0.01) <= usual <= longest * (1 + clock)]
        if len(possible) == 1 and rounding <= _MOST_UNCERTAIN:
            return possible[0]
        return window if clock + rounding <= 0.01 else None


@dataclass(frozen=True, slots=True)
class QuotaHeaders:
    """The quotas one response announced; None where it said nothing usable."""

    requests: Quota | None = None
    tokens: Quota | None = None
    images: Quota | None = None

    def __bool__(self) -> bool:
        return any(self.units())

    def units(self) -> tuple[Quota | None, Quota | None, Quota | None]:
        """In the order of a cost's units."""
        return (self.requests, self.tokens, self.images)


def parse_headers(headers: Mapping[str, str]) -> QuotaHeaders | None:
    """Read `x-ratelimit-{limit,remaining,reset}-{requests,tokens,images}`; None when there are none.

    A project's own token limit counts with the organization's: the lower limit, and the fewer tokens left. Malformed
    values are treated as absent: they are the provider's, and a call that succeeded must not fail over them.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    tokens = _tighter(_quota(lower, "tokens"), _quota(lower, "project-tokens"))
    found = QuotaHeaders(requests=_quota(lower, "requests"), tokens=tokens, images=_quota(lower, "images"))
    return found or None


def _quota(headers: Mapping[str, str], kind: str) -> Quota | None:
    limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
    remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    if limit is None or limit <= 0 or remaining is None:
        return None
    reset = headers.get(f"x-ratelimit-reset-{kind}")
    return Quota(limit, min(remaining, limit), None if reset is None else parse_duration(reset))


def _tighter(organization: Quota | None, project: Quota | None) -> Quota | None:
    """Both buckets hold every call: the smaller limit, and of it what the emptier of the two has left."""
    if organization is None or project is None:
        return organization or project
    small, large = (project, organization) if project.limit < organization.limit else (organization, project)
    if large.remaining >= small.remaining:
        return small
    window = small.window_seconds()
    used = small.limit - large.remaining
    return Quota(small.limit, large.remaining, None if window is None else used * window / small.limit)


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", text):
        return None
    return float(text)
