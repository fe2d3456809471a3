"""Durations as Go prints them, which is how the provider writes its reset headers and messages."""

import math


def go_duration(seconds: float) -> str:
    """`seconds` (>= 0) as Go's `time.Duration.String` has it, to the millisecond: `120ms`, `6m0s`, `4m12.172s`."""
    millis = round(seconds * 1000)
    if millis <= 0:
        return "0s"
    if millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    whole, fraction = divmod(rest, 1000)
    text = f"{whole}s" if not fraction else f"{whole}.{fraction:03d}".rstrip("0") + "s"
    if not minutes:
        return text
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"


def whole_seconds(seconds: float) -> int:
    """`seconds` rounded up, at least 1: what a `Retry-After` header can say."""
    return max(1, math.ceil(seconds - 1e-9))
