"""What comes before a request is one: its head, bounded in size and time, for it is read from whoever connects."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""Address and headers of a request. More than proxies let through as a rule, and no client of ours sends a tenth."""
HEAD_SECONDS = 30.0
"""From a request's first byte, or the connection's beginning, to the end of its headers."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
)
_TOLD = (
    b'{"error":{"message":"the request\'s address and headers are larger than 65536 bytes: send what is long in the '
    b'body","type":"invalid_request_error","param":null,"code":"headers_too_large","docs":"/docs/errors#headers_too_large"}}'
)


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which by itself keeps a head in memory however long it is and however long it takes."""

    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio calls it."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio calls it."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio calls it: with 256 KiB at most, so that what is over the bound is over it by little."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE % (len(_TOLD), _TOLD))
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins; on a connection that was kept, this is the first that is heard of it."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
