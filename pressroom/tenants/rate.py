"""How often a key may call: one minute's worth at once, refilled evenly, counted in Redis for all processes."""

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from pressroom.limits.scripts import Script, adrive


@dataclass(frozen=True, slots=True)
class Rate:
    """What became of one request. Seconds are from now."""

    granted: bool
    per_minute: int
    left: int
    fits_in_seconds: float
    full_in_seconds: float

    def headers(self) -> Mapping[str, str]:
        """As the provider tells of its limits; with Retry-After when nothing was granted."""
        told = {
            "x-ratelimit-limit-requests": str(self.per_minute),
            "x-ratelimit-remaining-requests": str(self.left),
            "x-ratelimit-reset-requests": f"{self.full_in_seconds:.3f}s",
        }
        return told if self.granted else {**told, "retry-after": str(max(1, math.ceil(self.fits_in_seconds)))}


async def take(execute: Callable[..., Awaitable[Any]], prefix: str, key_id: UUID, per_minute: int) -> Rate:
    """Count one request. `execute` is an asyncio client's `execute_command`. Raises what Redis raises."""
    steps = _script().call((f"{prefix}key-rate:{key_id.hex}",), str(per_minute))
    granted, left, fits, full = await adrive(steps, execute)
    return Rate(bool(granted), per_minute, int(left), int(fits) / 1e6, int(full) / 1e6)


@cache
def _script() -> Script:
    text = Path(__file__).with_name("rate.lua").read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
