"""When a delivery that failed is tried again. Pure."""

RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After the first try, the second, and so on: ten tries in a little over three days, as Standard Webhooks suggests."""

JITTER = 0.2
"""Endpoints that fail together are not all tried again together."""


def wait_seconds(attempts: int, chance: float) -> float | None:
    """Seconds until the next try after `attempts` of them, `chance` in [0, 1) spreading it; None when it is over."""
    if attempts > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[max(attempts, 1) - 1] * (1 - JITTER + 2 * JITTER * chance)
