"""HTTP/1.1 on asyncio and httptools: just enough server to answer, stall, drip and cut on purpose.

A framework would cost more per call than the answer itself, and would hide the transport that a cut needs.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import cast

import httptools

MAX_BODY_BYTES = 64 * 1024 * 1024
KEPT_HEADERS = frozenset({b"authorization", b"host", b"x-client-request-id", b"content-type", b"expect"})
_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Delivery(Enum):
    """What happens to the bytes of a reply."""

    WHOLE = "whole"
    CUT = "cut"  # the connection closes without a byte
    CUT_AFTER = "cut_after"  # headers and half of the body, then the connection closes
    SLOW_DRIP = "slow_drip"  # the body in twenty pieces over `seconds`


@dataclass(slots=True)
class Request:
    """One request as received; header names are lower case and only the ones in KEPT_HEADERS are here."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes
    gone: asyncio.Event
    """Set when the client closes the connection."""

    def header(self, name: bytes) -> str:
        """The header's value, or an empty string."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class Reply:
    """One answer: headers without content-length (added here) and how it is delivered."""

    status: int
    body: bytes
    headers: list[tuple[str, str]]
    content_type: str = "application/json"
    delivery: Delivery = Delivery.WHOLE
    seconds: float = 0.0

    def head(self, *, keep_alive: bool) -> bytes:
        """Status line and headers."""
        lines = [f"content-type: {self.content_type}\r\ncontent-length: {len(self.body)}\r\n"]
        lines.extend(f"{name}: {value}\r\n" for name, value in self.headers)
        lines.append("\r\n" if keep_alive else "connection: close\r\n\r\n")
        return _STATUS_LINES[self.status] + "".join(lines).encode("latin-1")


Handler = Callable[[Request], Awaitable[Reply]]


class Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after the other, in order."""

    def __init__(self, handler: Handler, open_connections: set["Connection"]) -> None:
        self._handler = handler
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._start()

    def _start(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self.transport = cast(asyncio.Transport, transport)  # a TCP server makes no other kind
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone; calls in flight are told, and go on like the provider's would."""
        del exc
        self._open.discard(self)
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def abort(self) -> None:
        """Close at once; what is in flight is not answered."""
        if self.transport:
            self.transport.abort()
        if self._task:
            self._task.cancel()

    def _refuse(self, status: HTTPStatus) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.write(Reply(status.value, b"", []).head(keep_alive=False))
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header."""
        name = name.lower()
        if name in KEPT_HEADERS:
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        """httptools: the body comes next; say so to a client that waits to be told."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self.transport:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        path, _, query = self._target.decode("latin-1").partition("?")
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, path, query, self._headers, b"".join(self._body), self.gone)
        self._queue.append((request, self._parser.should_keep_alive()))
        self._start()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._queue:
                request, keep_alive = self._queue.popleft()
                reply = await self._handle(request)
                if request.method == "HEAD":
                    self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
                    return
                await self._deliver(reply, keep_alive=keep_alive)
        finally:
            self._task = None

    async def _handle(self, request: Request) -> Reply:
        try:
            return await self._handler(request)
        except Exception:  # noqa: BLE001 - a bug here must show at once, on both sides, and not as a hanging client
            traceback.print_exc()
            return Reply(500, b"the sandbox itself failed: see its stderr", [], content_type="text/plain")

    async def _deliver(self, reply: Reply, *, keep_alive: bool) -> None:
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if reply.delivery is Delivery.WHOLE:
            transport.write(reply.head(keep_alive=keep_alive) + reply.body)
        elif reply.delivery is Delivery.CUT:
            transport.abort()
            return
        elif reply.delivery is Delivery.CUT_AFTER:
            transport.write(reply.head(keep_alive=keep_alive) + reply.body[: len(reply.body) // 2])
            transport.close()
            return
        else:
            await self._drip(transport, reply, keep_alive=keep_alive)
        if not keep_alive:
            transport.close()

    async def _drip(self, transport: asyncio.Transport, reply: Reply, *, keep_alive: bool) -> None:
        transport.write(reply.head(keep_alive=keep_alive))
        step = max(1, len(reply.body) // 20)
        for start in range(0, len(reply.body), step):
            await asyncio.sleep(reply.seconds / 20)
            if transport.is_closing():
                return
            transport.write(reply.body[start : start + step])
