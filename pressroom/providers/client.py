"""The door to the provider: the only module that knows the OpenAI SDK, whose errors stop here."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
import httpx2
import orjson
from openai import APIConnectionError, APIStatusError, DefaultAioHttpClient

from pressroom.providers.failures import Failure, ProviderError, classify, never_sent, outcome_unknown
from pressroom.providers.sdk import CLIENT_REQUEST_ID, QuickOpenAI

CONNECT_SECONDS = 5.0
FETCH_SECONDS = 60.0
_FETCH_TRIES = 3
_FETCH_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200: the parsed body, and headers by lower-case name."""

    status_code: int
    request_id: str | None
    headers: Mapping[str, str]
    body: Any


class ProviderClient:
    """Calls one endpoint under one key. One per event loop; connections are kept and shared by all calls."""

    def __init__(self, base_url: str, *, api_key: str, timeout_seconds: float, max_connections: int = 2_000) -> None:
        """`timeout_seconds` bounds a whole call, up to its last byte. Nothing connects before the first call."""
        self._timeout_seconds = timeout_seconds
        timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._http = DefaultAioHttpClient(
            timeout=timeout,
            limits=httpx2.Limits(max_connections=max_connections, keepalive_expiry=10.0),
            follow_redirects=False,
        )
        self._openai = QuickOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, http_client=self._http
        )
        # It logs whole URLs, and those of pictures carry their own permission to be read.
        logging.getLogger("httpx2").setLevel(logging.WARNING)

    async def call(self, url: str, body: Mapping[str, Any], *, client_request_id: str) -> Answer:
        """POST the body to a path as in a batch file (`/v1/chat/completions`). Never retried here.

        Raises ProviderError for every outcome but a 200 with JSON. The id goes out as `X-Client-Request-Id`.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._openai.post(
                    url.removeprefix("/v1"),
                    content=_encoded(body),
                    cast_to=httpx2.Response,
                    options={"headers": {"Content-Type": "application/json", CLIENT_REQUEST_ID: client_request_id}},
                )
        except APIStatusError as error:
            raise ProviderError(_answered(error.response)) from None
        except (APIConnectionError, httpx2.HTTPError, aiohttp.ClientError) as error:
            raise ProviderError(_broken(error)) from None
        except TimeoutError:
            message = f"no answer within {self._timeout_seconds:g} s"
            raise ProviderError(outcome_unknown("timeout", message)) from None
        return _read(response)

    async def fetch(self, url: str, *, max_bytes: int) -> bytes:
        """The picture at a URL of an answer, tried up to three times. No key goes out, and no other host is visited.

        Raises ProviderError (`unknown_outcome`: the picture was made and billed, and cannot be had).
        """
        for tries_left in reversed(range(_FETCH_TRIES)):
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    return await self._fetch_once(url, max_bytes)
            except (httpx2.HTTPError, httpx2.InvalidURL, aiohttp.ClientError, TimeoutError) as error:
                if not tries_left:
                    message = f"the picture's URL could not be read: {type(error).__name__} {error}"
                    raise ProviderError(outcome_unknown("image_fetch_failed", message)) from None
            await asyncio.sleep(0.25 * 2 ** (_FETCH_TRIES - 1 - tries_left))
        raise AssertionError("the last try returns or raises")

    async def _fetch_once(self, url: str, max_bytes: int) -> bytes:
        host = urlsplit(url).netloc
        for _ in range(_FETCH_REDIRECTS + 1):
            async with self._http.stream("GET", url, follow_redirects=False) as response:
                if response.status_code not in _REDIRECTS:
                    return await _bounded(response, max_bytes)
                url = urljoin(url, response.headers.get("location", ""))
            if urlsplit(url).netloc != host:
                raise ProviderError(
                    outcome_unknown("image_fetch_failed", f"the picture's URL at {host} leads to another host")
                )
        raise ProviderError(outcome_unknown("image_fetch_failed", f"the picture's URL at {host} leads in circles"))

    async def aclose(self) -> None:
        """Close all connections; calls in flight fail."""
        await self._openai.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # Whole numbers beyond 64 bits and lone surrogates, which the provider may judge.
        return json.dumps(body).encode()


async def _bounded(response: httpx2.Response, max_bytes: int) -> bytes:
    response.raise_for_status()
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > max_bytes:
            raise ProviderError(
                outcome_unknown(
                    "image_too_large", f"the picture has more than {max_bytes} bytes: raise max_image_bytes"
                )
            )
        parts.append(part)
    return b"".join(parts)


def _read(response: httpx2.Response) -> Answer:
    headers = _lower(response.headers)
    if response.status_code != 200:
        raise ProviderError(_answered(response))
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        text = response.content[:500].decode("utf-8", "replace")
        message = f"the provider answered 200 with what is not JSON ({error})"
        raise ProviderError(outcome_unknown("malformed_reply", message, status_code=200, body=text)) from None
    return Answer(200, headers.get("x-request-id"), headers, body)


def _answered(response: httpx2.Response) -> Failure:
    try:
        body: Any = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = response.content[:2_000].decode("utf-8", "replace")
    return classify(response.status_code, body, _lower(response.headers))


def _broken(error: Exception) -> Failure:
    """Whether the request had gone out when the connection failed.

    The SDK's transport reports a server that hangs up as a connect timeout, so aiohttp's own error, at the bottom of
    the chain of causes, decides. What is not known to have failed before sending counts as sent.
    """
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL):
            return never_sent(f"could not connect to the provider: {type(cause).__name__} {cause}")
        if isinstance(cause, aiohttp.ServerTimeoutError | TimeoutError):
            return outcome_unknown("timeout", "the provider went silent before its answer was whole")
    return outcome_unknown("connection_lost", f"the connection broke after sending: {type(cause).__name__} {cause}")


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.raw}
