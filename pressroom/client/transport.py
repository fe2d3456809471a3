"""The two ways over the wire: the only modules of the client that differ by colour are this one and the two clients.

Nothing is decided here: a request goes out once, and what came back (or did not) is returned as it is.
"""

import asyncio
import contextlib
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from uuid import uuid4

import httpx2

from pressroom.client.setup import Setup
from pressroom.client.steps import Answer, Item, Outcome, Pause, Request, Silence, Steps, Stream, T

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
"""Seconds of silence, not in all: a download may take as long as it moves."""


class BlockingTransport:
    """Runs steps on an `httpx2.Client`. Safe to use from several threads."""

    def __init__(self, setup: Setup, http_client: httpx2.Client | None = None) -> None:
        self._setup = setup
        self._http = http_client or httpx2.Client(timeout=_TIMEOUT)

    def run(self, steps: Steps[T]) -> T:
        """Do all that the steps ask for, and return their result."""
        outcome: Outcome = None
        while True:
            try:
                wanted = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = self._do(wanted)

    def stream(self, steps: Stream[T]) -> Generator[T, None, None]:
        """Do all that the steps ask for, and hand out their items as they come."""
        outcome: Outcome = None
        with contextlib.closing(steps):
            while True:
                try:
                    wanted = steps.send(outcome)
                except StopIteration:
                    return
                outcome = None
                if isinstance(wanted, Item):
                    yield wanted.value
                else:
                    outcome = self._do(wanted)

    def _do(self, wanted: Request | Pause) -> Outcome:
        if isinstance(wanted, Pause):
            time.sleep(wanted.seconds)
            return None
        try:
            return self._send(wanted)
        except httpx2.TransportError as error:
            return _silence(error)

    def _send(self, request: Request) -> Answer:
        with _body_of(request) as body, self._http.stream(**_arguments(self._setup, request), **body) as response:
            if request.save_to is None or response.status_code >= 400:
                return _answer(response, response.read())
            with _saved(request.save_to) as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            return _answer(response, b"")

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


class AsyncTransport:
    """Runs steps on an `httpx2.AsyncClient`, within one event loop.

    Files are read and written on the loop: a chunk takes less time than handing it to a thread.
    """

    def __init__(self, setup: Setup, http_client: httpx2.AsyncClient | None = None) -> None:
        self._setup = setup
        self._http = http_client or httpx2.AsyncClient(timeout=_TIMEOUT)

    async def run(self, steps: Steps[T]) -> T:
        """Do all that the steps ask for, and return their result."""
        outcome: Outcome = None
        while True:
            try:
                wanted = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = await self._do(wanted)

    def stream(self, steps: Stream[T]) -> "AsyncItems[T]":
        """Do all that the steps ask for, and hand out their items as they come."""
        return AsyncItems(self, steps)

    async def _do(self, wanted: Request | Pause) -> Outcome:
        if isinstance(wanted, Pause):
            await asyncio.sleep(wanted.seconds)
            return None
        try:
            return await self._send(wanted)
        except httpx2.TransportError as error:
            return _silence(error)

    async def _send(self, request: Request) -> Answer:
        with _body_of(request) as body:
            async with self._http.stream(**_arguments(self._setup, request), **body) as response:
                if request.save_to is None or response.status_code >= 400:
                    return _answer(response, await response.aread())
                with _saved(request.save_to) as file:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
                return _answer(response, b"")

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()


class AsyncItems(contextlib.AbstractAsyncContextManager["AsyncItems[T]"]):
    """The items of a stream, one `async for` over them. Ending early closes the steps."""

    def __init__(self, transport: AsyncTransport, steps: Stream[T]) -> None:
        self._transport = transport
        self._steps = steps

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        outcome: Outcome = None
        while True:
            try:
                wanted = self._steps.send(outcome)
            except StopIteration:
                raise StopAsyncIteration from None
            if isinstance(wanted, Item):
                item: T = wanted.value
                return item
            outcome = await self._transport._do(wanted)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._steps.close()


def _silence(error: httpx2.TransportError) -> Silence:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Silence(reason, was_sent=not isinstance(error, _NEVER_SENT))


def _arguments(setup: Setup, request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": setup.origin + request.path,
        "params": request.params or None,
        "headers": {**setup.headers, **request.headers},
        # To where the pictures are; the key stays here.
        "follow_redirects": request.method == "GET",
    }


@contextlib.contextmanager
def _body_of(request: Request) -> Iterator[dict[str, Any]]:
    upload = request.upload
    if upload is None:
        yield {} if request.json is None else {"json": request.json}
        return
    with upload.path.open("rb") as file:
        yield {"data": dict(upload.fields), "files": {"file": (upload.name or upload.path.name, file)}}


@contextlib.contextmanager
def _saved(path: Path) -> Iterator[BinaryIO]:
    """The file appears when it is complete; what was there before stays until then."""
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _answer(response: httpx2.Response, content: bytes) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, content)
