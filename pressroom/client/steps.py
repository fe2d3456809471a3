"""What the client does, as generators without input or output: written once, run by a sync and by an async client.

A generator yields what it wants done (`Request`, `Pause`) and is sent what came of it; one that iterates also yields
`Item`s, which go to the caller. So a retry, a poll or a page is decided in one place for both colours.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file sent as multipart, read from disk while it goes out."""

    path: Path
    fields: Mapping[str, str]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` is below the API's address, or a whole URL that the API gave.

    `is_repeatable` says that a second one changes nothing: it is a reading, or carries an idempotency key.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    upload: Upload | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False
    save_to: Path | None = None
    """Where the body of a good answer goes, in one step at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Something for the caller of an iteration."""

    value: T


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. `headers` are in lower case; `content` is empty where the body was saved."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer came. `was_sent` is false only where the request surely never reached the server."""

    reason: str
    was_sent: bool


Outcome: TypeAlias = Answer | Silence | None
"""None after a Pause or an Item."""

Steps: TypeAlias = Generator[Request | Pause, Outcome, T]
Stream: TypeAlias = Generator[Request | Pause | Item[T], Outcome, None]
