"""What a provider's 429 says in words. Pure: text in, numbers out.

Images per minute are in no header, so the message is the only place where that limit is announced:
`Rate limit reached for gpt-image-2 in organization org-... on images per minute (IPM): Limit 5, Used 5, Requested 1.
Please try again in 12s.` Older messages say `Limit: 3 / min`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pressroom.limits.headers import parse_duration

StatedDimension = Literal["rpm", "tpm", "ipm", "rpd", "tpd"]

_NUMBER = r"(\d[\d,_]*(?:\.\d+)?)"
_DIMENSION = re.compile(r"\b(requests?|tokens?|images?) per[ -](min(?:ute)?|day)\b", re.IGNORECASE)
_SHORT = re.compile(r"\((RPM|TPM|IPM|RPD|TPD)\)")
_LIMIT = re.compile(rf"\bLimit:?\s*{_NUMBER}(?:\s*(?:/|per)\s*(min(?:ute)?|day))?", re.IGNORECASE)
_USED = re.compile(rf"\b(?:Used|Current):?\s*{_NUMBER}", re.IGNORECASE)
_REQUESTED = re.compile(rf"\bRequested:?\s*{_NUMBER}", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|us|µs|h|m|s))+)", re.IGNORECASE)
_NAMES: dict[tuple[str, str], StatedDimension] = {
    ("r", "m"): "rpm",
    ("t", "m"): "tpm",
    ("i", "m"): "ipm",
    ("r", "d"): "rpd",
    ("t", "d"): "tpd",
}


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """A limit as a refusal put it: units per minute or day; None where the message was silent."""

    dimension: StatedDimension
    limit: float
    used: float | None = None
    requested: float | None = None
    retry_after_seconds: float | None = None


def parse_rate_limit_text(message: str) -> StatedLimit | None:
    """The limit that a 429's message states, or None when it names no dimension or no number."""
    dimension, limit = _dimension(message), _number(_LIMIT, message)
    if dimension is None or limit is None or limit <= 0:
        return None
    asked = _TRY_AGAIN.search(message)
    return StatedLimit(
        dimension=dimension,
        limit=limit,
        used=_number(_USED, message),
        requested=_number(_REQUESTED, message),
        retry_after_seconds=parse_duration(asked[1]) if asked else None,
    )


def _dimension(message: str) -> StatedDimension | None:
    short = _SHORT.search(message)
    if short:
        letters = short[1].lower()
        return _NAMES[letters[0], letters[2]]
    words = _DIMENSION.search(message)
    if words is None:
        return None
    return _NAMES.get((words[1][0].lower(), words[2][0].lower()))


def _number(pattern: re.Pattern[str], message: str) -> float | None:
    found = pattern.search(message)
    return float(found[1].replace(",", "").replace("_", "").rstrip(".")) if found else None
