"""One request with its retries, and pages of many: what every other step is made of."""

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pressroom.client.errors import NoAnswer, StillRunning, answered_error
from pressroom.client.retrying import RetryPolicy
from pressroom.client.steps import Answer, Item, Pause, Request, Silence, Steps, Stream, T, Upload

IDEMPOTENCY_KEY = "Idempotency-Key"
_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Calls:
    """How requests are made. `clock` counts seconds, `jitter` gives numbers in [0, 1)."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def send(self, request: Request) -> Steps[Answer]:
        """The answer, after as many retries as it takes. Raises NoAnswer or an AnsweredError."""
        retry = 0
        while True:
            outcome = yield request
            if isinstance(outcome, Answer) and outcome.status < 400:
                return outcome
            if not isinstance(outcome, Answer | Silence):
                raise TypeError(f"a request was answered with {outcome!r}")
            wait = self.policy.wait_seconds(request, outcome, retry, jitter=self.jitter)
            if wait is None:
                raise _error(request, outcome, retry)
            yield Pause(wait)
            retry += 1

    def get(self, path: str, **params: Any) -> Steps[Any]:
        """The JSON at a path. Parameters that are None are left out."""
        answer = yield from self.send(Request("GET", path, params=_given(params), is_repeatable=True))
        return json.loads(answer.content)

    def save(self, path: str, to: Path) -> Steps[Path]:
        """The bytes at a path, in a file."""
        yield from self.send(Request("GET", path, save_to=to, headers={"Accept": "*/*"}, is_repeatable=True))
        return to

    def read(self, path: str) -> Steps[bytes]:
        """The bytes at a path, in memory."""
        answer = yield from self.send(Request("GET", path, headers={"Accept": "*/*"}, is_repeatable=True))
        return answer.content

    def post(self, path: str, body: Any = None, *, key: str | None = None, **params: Any) -> Steps[Any]:
        """The JSON that a POST answers with. It is repeatable: under `key`, or under one of its own."""
        headers = {IDEMPOTENCY_KEY: key or new_key()}
        request = Request("POST", path, params=_given(params), json=body, headers=headers, is_repeatable=True)
        answer = yield from self.send(request)
        return json.loads(answer.content)

    def upload(self, path: str, upload: Upload) -> Steps[Any]:
        """The JSON that an upload answers with. Sent twice it is there twice, and nothing is done with either."""
        answer = yield from self.send(Request("POST", path, upload=upload, is_repeatable=True))
        return json.loads(answer.content)

    def delete(self, path: str) -> Steps[Any]:
        """The JSON that a DELETE answers with."""
        answer = yield from self.send(Request("DELETE", path, is_repeatable=True))
        return json.loads(answer.content)

    def pages(self, path: str, read: Callable[[Mapping[str, Any]], T], **params: Any) -> Stream[T]:
        """Every object of a list, page after page, as `read` makes it of what came."""
        after: str | None = None
        while True:
            page = yield from self.get(path, **{"limit": _PAGE_SIZE, **params, "after": after})
            for found in page["data"]:
                yield Item(read(found))
            last = page.get("last_id") or (page["data"][-1]["id"] if page["data"] else None)
            if not page.get("has_more") or last is None or last == after:
                return
            after = last

    def deadline(self, seconds: float | None) -> float | None:
        """The clock's reading in so many seconds."""
        return None if seconds is None else self.clock() + seconds

    def pause(self, seconds: float, deadline: float | None, what: str) -> Steps[None]:
        """Wait, but not beyond the deadline. Raises StillRunning at it."""
        left = seconds if deadline is None else deadline - self.clock()
        if left <= 0:
            raise StillRunning(f"{what} goes on: the time given is over, and nothing was cancelled")
        yield Pause(min(seconds, left))


def new_key() -> str:
    """An idempotency key that nobody else has."""
    return uuid4().hex


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _error(request: Request, outcome: Answer | Silence, retries: int) -> Exception:
    if isinstance(outcome, Answer):
        return answered_error(outcome.status, outcome.content, request_id=outcome.headers.get("x-request-id"))
    tried = f" after {retries + 1} tries" if retries else ""
    asked = f"{request.method} {request.path}"
    if outcome.was_sent:
        message = f"{asked}: the connection broke{tried} ({outcome.reason}): it may have been carried out"
    else:
        message = f"{asked}: cannot reach the server{tried} ({outcome.reason}): is the address right, and does it run?"
    return NoAnswer(message, was_sent=outcome.was_sent)
