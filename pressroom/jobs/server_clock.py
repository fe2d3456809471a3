"""When the limiter answered, on this process's own clock: what start times are counted from.

An answer is read late when the process was stalled, and start times counted from then would all be late without
anybody noticing. The answer names the server's time; what the server's clock is ahead of ours is known from the
quickest of the latest answers.
"""

import math

_WINDOW_SECONDS = 15.0


class ServerClock:
    """Pure: the caller reads the clocks. Answers of the last 15 to 30 s count, so that drift and steps wear off."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._now = self._before = math.inf

    def answered_at(self, *, server: float, sent: float, received: float) -> float:
        """When the server wrote what was asked at `sent` and read at `received`: never outside of the two."""
        if received - self._since > _WINDOW_SECONDS:
            self._since, self._before, self._now = received, self._now, math.inf
        # The difference of the clocks plus the way of the answer.
        self._now = min(self._now, received - server)
        return min(received, max(sent, server + min(self._now, self._before)))
