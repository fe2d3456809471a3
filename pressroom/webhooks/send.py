"""Make deliveries over HTTP: signed, to where the endpoint's name leads now, and to nowhere else."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import aiohttp

from pressroom.net.guard import AddressRefused, NetPolicy, Target, admit, pinned_session
from pressroom.webhooks.outgoing import Outgoing, Sent
from pressroom.webhooks.signing import message_id, signed_headers

_CONNECTIONS = 4
_ANSWER_BYTES = 16_384
"""Read of an answer, which is not looked at, so that its connection can be used again."""
_USER_AGENT = "Pressroom-Webhooks/1 (+docs/webhooks.md)"


def utc_now() -> datetime:
    """The clock of the signatures."""
    return datetime.now(UTC)


async def send_to_endpoint(
    outgoing: Sequence[Outgoing],
    policy: NetPolicy,
    *,
    timeout_seconds: float,
    now: Callable[[], datetime] = utc_now,
) -> list[Sent]:
    """Make these deliveries, all to one endpoint, some at a time. Raises nothing: each has its outcome."""
    try:
        target = await admit(outgoing[0].url, policy)
    except AddressRefused as refused:
        return [Sent(one, error=f"address refused: {refused.reason}") for one in outgoing]
    async with pinned_session(target, seconds=timeout_seconds, connections=_CONNECTIONS) as session:
        # Not all at once: a timeout would run while a request waits for a connection.
        slots = asyncio.Semaphore(_CONNECTIONS)

        async def make(one: Outgoing) -> Sent:
            async with slots:
                return await _send(session, target, one, now())

        return list(await asyncio.gather(*map(make, outgoing)))


async def _send(session: aiohttp.ClientSession, target: Target, one: Outgoing, at: datetime) -> Sent:
    body = one.event.body()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        **signed_headers(message_id(one.event.id), body, one.keys, now=at),
    }
    try:
        async with session.post(target.url, data=body, headers=headers, allow_redirects=False) as answer:
            await answer.content.read(_ANSWER_BYTES)
            return Sent(one, answer.status, _fault(answer.status))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Sent(one, error=_reason(error))


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return "a redirect, which is not followed" if 300 <= status < 400 else f"answered {status}"


def _reason(error: Exception) -> str:
    """In words of ours: what a server or a network inside says is not shown to whoever named the address."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientSSLError():
            return "the certificate is not valid for the name"
        case aiohttp.ClientConnectorError():
            return "no connection"
        case _:
            return "the connection broke off"
