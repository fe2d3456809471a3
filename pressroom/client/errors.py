"""What the client raises, all of it below PressroomError.

ClientError
├── NotSetUp                no address or no key was given
├── NoAnswer                the server could not be reached, or the connection broke
├── StillRunning            the time given to `wait` is over; the work goes on
├── JobNotSucceeded         the answer of a job was asked for that has none
├── BadReference            an id, a file or a request of the caller's that cannot be meant
└── AnsweredError           the server answered with an error
    ├── RequestRefused      400, 413, 415, 422: mend the request
    ├── KeyRefused          401, 403: another key, or another scope
    ├── NoSuchThing         404: it does not exist, or belongs to another project
    ├── StateConflict       409: its state does not allow this, or the idempotency key was used for something else
    ├── TooManyRequests     429, after every retry
    └── ServerFault         5xx, after every retry
"""

import json
from collections.abc import Mapping
from typing import Any

from pressroom.errors import PressroomError

_SHOWN_BODY_CHARACTERS = 200


class ClientError(PressroomError):
    """Base of everything that the client raises on purpose."""


class NotSetUp(ClientError):
    """No address or no key: names the argument and the variable."""


class NoAnswer(ClientError):
    """The server could not be reached, or the connection broke before the answer was complete.

    `was_sent` says whether the request may have been carried out all the same.
    """

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class StillRunning(ClientError):
    """The time given to `wait` is over. Nothing was cancelled: wait again, or look later."""


class JobNotSucceeded(ClientError):
    """The answer of a job was asked for that has none: it failed, was cancelled, expired, or has not ended."""


class BadReference(ClientError):
    """An argument that cannot be meant: not an id, not a request, a file that is not there."""


class AnsweredError(ClientError):
    """The server answered with an error. `code` and `param` are stable; the message says the remedy."""

    def __init__(self, status: int, body: Any, *, request_id: str | None = None) -> None:
        error = _error_of(body)
        self.status = status
        self.body = body
        self.request_id = request_id
        self.message = str(error.get("message") or _first_words(body) or "the answer has no message")
        self.code: str | None = error.get("code")
        self.param: str | None = error.get("param")
        self.type: str | None = error.get("type")
        self.docs: str | None = error.get("docs")
        named = f" ({self.code})" if self.code else ""
        super().__init__(f"{status}{named}: {self.message}")


class RequestRefused(AnsweredError):
    """The request cannot be accepted as it is; the same request will be refused again."""


class KeyRefused(AnsweredError):
    """The API key is unknown, revoked or expired, or lacks the scope."""


class NoSuchThing(AnsweredError):
    """There is no such job, batch, file or route, or it belongs to another project."""


class StateConflict(AnsweredError):
    """The thing's state does not allow this, or the idempotency key was used for another request."""


class TooManyRequests(AnsweredError):
    """The key's rate limit, still reached after every retry."""


class ServerFault(AnsweredError):
    """The server failed or is away, still so after every retry."""


_BY_STATUS: dict[int, type[AnsweredError]] = {
    401: KeyRefused,
    403: KeyRefused,
    404: NoSuchThing,
    409: StateConflict,
    429: TooManyRequests,
}


def answered_error(status: int, content: bytes, *, request_id: str | None = None) -> AnsweredError:
    """The error for an answer of 400 and above."""
    try:
        body = json.loads(content)
    except ValueError:
        body = content.decode(errors="replace")
    kind = _BY_STATUS.get(status) or (ServerFault if status >= 500 else RequestRefused)
    return kind(status, body, request_id=request_id)


def _error_of(body: Any) -> Mapping[str, Any]:
    """What is under `error`, whatever a server or a proxy before it made of that."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {"message": error}


def _first_words(body: Any) -> str:
    return body.strip()[:_SHOWN_BODY_CHARACTERS] if isinstance(body, str) else ""
