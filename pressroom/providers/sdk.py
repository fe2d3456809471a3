"""The OpenAI SDK's client with two of its steps shortened: half of a call's CPU went into them.

Building a request merges, copies and validates headers that are the same for every call, and parses the URL three
times; sending goes through layers for auth, cookies and redirects that are not used here. Everything else, and every
error, is the SDK's. tests/contract/test_provider_client.py compares what goes out with what the plain SDK sends.
"""

from typing import Any

import httpx2
from openai import AsyncOpenAI

CLIENT_REQUEST_ID = "X-Client-Request-Id"


class QuickOpenAI(AsyncOpenAI):
    """Takes its shortcut for POSTs of ready bytes, and is the plain client for all else."""

    def __init__(self, *, http_client: httpx2.AsyncClient, **options: Any) -> None:
        super().__init__(http_client=http_client, **options)
        self._ready: dict[str, tuple[httpx2.URL, httpx2.Headers, dict[str, Any]]] = {}

    @property
    def user_agent(self) -> str:
        """The SDK's own, which would otherwise be made from this class's name."""
        return f"AsyncOpenAI/Python {self._version}"

    def _build_request(self, options: Any, *, retries_taken: int = 0) -> httpx2.Request:
        content, asked = options.content, options.headers
        if not isinstance(content, bytes) or not isinstance(asked, dict) or CLIENT_REQUEST_ID not in asked:
            return super()._build_request(options, retries_taken=retries_taken)
        ready = self._ready.get(options.url)
        if ready is None:
            first = super()._build_request(options, retries_taken=retries_taken)
            constant = [
                (k, v) for k, v in first.headers.raw if k.lower() not in (b"content-length", b"x-client-request-id")
            ]
            ready = self._ready[options.url] = (first.url, httpx2.Headers(constant), first.extensions)
        url, headers, extensions = ready
        sent = httpx2.Headers(
            [
                *headers.raw,
                (b"Content-Length", b"%d" % len(content)),
                (b"X-Client-Request-Id", asked[CLIENT_REQUEST_ID].encode()),
            ]
        )
        request = httpx2.Request("POST", url, headers=sent, stream=httpx2.ByteStream(content), extensions=extensions)
        request.headers.encoding = "ascii"
        request.read()
        return request

    async def _send_request(self, request: httpx2.Request, *, stream: bool, **options: Any) -> httpx2.Response:
        if stream or CLIENT_REQUEST_ID not in request.headers:
            return await super()._send_request(request, stream=stream, **options)
        response = await self._client._transport_for_url(request.url).handle_async_request(request)
        response.request = request
        response.headers.encoding = "latin-1"
        try:
            await response.aread()
        except BaseException:
            # A cancelled or broken read must not keep its connection.
            await response.aclose()
            raise
        return response
