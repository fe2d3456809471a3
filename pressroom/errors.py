"""The errors of the house, on one tree. Vendor errors are translated where the vendor is imported and stop there.

PressroomError
├── InvalidInput            the caller's fault: names the field, the value and the remedy
├── NotFound                no such project, batch, job or deployment (or not yours)
├── Conflict                the thing is in a state that does not allow this
└── Unavailable             a part is down; try again later
    ├── QueueUnavailable
    └── ProviderUnavailable

What one package raises and its callers handle hangs on PressroomError there (storage, local_stack, money, …).
"""

from collections.abc import Sequence
from dataclasses import dataclass


class PressroomError(Exception):
    """Base of everything this system raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where (`line` is 1-based, None outside files), what, and how to mend it."""

    field: str
    reason: str
    remedy: str
    value: str | None = None
    line: int | None = None
    code: str = "invalid_value"

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        value = f" (got {self.value})" if self.value is not None else ""
        return f"{where}{self.field}: {self.reason}{value}. {self.remedy}"


class InvalidInput(PressroomError):
    """The input cannot be accepted; nothing was stored and nothing spent."""

    def __init__(self, problems: Sequence[Problem], *, source: str | None = None, more: int = 0) -> None:
        self.problems = list(problems)
        self.source = source
        self.more = more
        lines = [f"{source}: {problem}" if source else str(problem) for problem in self.problems]
        if more:
            lines.append(f"… and {more} more")
        super().__init__("\n".join(lines))


class NotFound(PressroomError):
    """There is no such thing, or it belongs to another project."""


class Conflict(PressroomError):
    """The thing exists, but its state does not allow what was asked."""


class Unavailable(PressroomError):
    """A part that is needed does not answer; the same call may work later."""


class QueueUnavailable(Unavailable):
    """Redis or Valkey does not answer."""


class ProviderUnavailable(Unavailable):
    """No provider is configured, or it does not answer."""
