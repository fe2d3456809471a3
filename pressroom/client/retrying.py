"""When a request is sent again, and after how long: a pure decision."""

import email.utils
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pressroom.client.steps import Answer, Request, Silence

_UNDONE = frozenset({429, 503})
"""Statuses that say that nothing was done, so that any request may be sent again."""

_UNCLEAR = frozenset({408, 500, 502, 504})
"""Statuses that leave open what was done: only what is repeatable is sent again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently. Waits without a Retry-After are drawn below `first_seconds` * 2^n (full jitter)."""

    max_retries: int = 5
    first_seconds: float = 0.25
    most_seconds: float = 8.0
    most_retry_after_seconds: float = 120.0
    """A server that wants to be left alone for longer than this is reported instead of waited for."""

    def wait_seconds(
        self,
        request: Request,
        outcome: Answer | Silence,
        retry: int,
        *,
        jitter: Callable[[], float],
        now: datetime | None = None,
    ) -> float | None:
        """Seconds until the `retry`-th (from 0) repetition; None: do not repeat.

        `jitter` gives numbers in [0, 1). A Retry-After is a minimum: up to a tenth of it, or of a second, is added.
        """
        if retry >= self.max_retries or not self._may_repeat(request, outcome):
            return None
        asked = _retry_after(outcome, now or datetime.now(UTC)) if isinstance(outcome, Answer) else None
        if asked is None:
            return min(self.most_seconds, self.first_seconds * 2.0**retry) * jitter()
        if asked > self.most_retry_after_seconds:
            return None
        return asked + max(1.0, asked) * 0.1 * jitter()

    @staticmethod
    def _may_repeat(request: Request, outcome: Answer | Silence) -> bool:
        if isinstance(outcome, Silence):
            return request.is_repeatable or not outcome.was_sent
        if "x-should-retry" in outcome.headers:
            return outcome.headers["x-should-retry"] == "true" and (request.is_repeatable or outcome.status in _UNDONE)
        # Somebody else is carrying out the same request under the same key: its answer is ours too.
        in_progress = outcome.status == 409 and "retry-after" in outcome.headers
        unclear = outcome.status in _UNCLEAR or in_progress
        return outcome.status in _UNDONE or (request.is_repeatable and unclear)


def _retry_after(answer: Answer, now: datetime) -> float | None:
    """The header in seconds, whether it was written as a number or as a date; None where there is none to be read."""
    given = answer.headers.get("retry-after")
    if given is None:
        return None
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(given) - now).total_seconds())
    except (ValueError, TypeError):
        return None
