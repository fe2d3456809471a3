"""What a call takes from a pool's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Units of quota one call takes: requests, tokens (input and output together) and images.

    Zero means "takes none of it": such a call neither waits for that dimension nor is charged. A caller that does
    not know the tokens of a text call should estimate, not say zero; the limiter notices zeros that turn out wrong.
    """

    requests: float = 1.0
    tokens: float = 0.0
    images: float = 0.0

    def __post_init__(self) -> None:
        for field in ("requests", "tokens", "images"):
            value = getattr(self, field)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"Cost.{field} is {value!r}: it must be a finite number of units, zero or more")

    def units(self) -> tuple[float, float, float]:
        """In the order of the scripts: requests, tokens, images."""
        return (float(self.requests), float(self.tokens), float(self.images))
