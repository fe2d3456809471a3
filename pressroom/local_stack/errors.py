"""The one error of the local stack. It always says what failed, why, and what to do."""

from __future__ import annotations

from pressroom.errors import PressroomError


class LocalStackError(PressroomError):
    """A server of the local stack cannot start, run or stop.

    `what` is the fact, `cause` the reason found, `remedy` the next step for the operator.
    """

    def __init__(self, what: str, *, cause: str, remedy: str) -> None:
        super().__init__(f"{what}: {cause}\nWhat to do: {remedy}")
        self.what = what
        self.cause = cause
        self.remedy = remedy
