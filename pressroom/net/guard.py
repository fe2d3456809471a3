"""Requests to addresses that other people name must not reach what only this machine can reach.

`admit` looks at the URL, resolves its name and judges every address that comes of it. The session that `pinned_session`
makes connects to those addresses and to no other, whatever the name says by then, and checks the certificate for the
name. A redirect is another address: follow none, or admit each. Used for webhooks, and for pictures given by URL.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pressroom.errors import InvalidInput, Problem
from pressroom.net.addresses import Network, is_allowed, refusal

WEB_PORTS = frozenset({443, 8443})
_LONGEST_URL = 2048
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_RESOLVE_SECONDS = 5.0
_REMEDY = "Give an https address that the whole internet can reach, as https://example.com/hooks"


class AddressRefused(InvalidInput):
    """No request may go there. `for_now`: the name could not be resolved, which may be otherwise in a while."""

    def __init__(self, url: str, reason: str, *, for_now: bool = False, remedy: str = _REMEDY) -> None:
        self.reason = reason
        self.for_now = for_now
        super().__init__([Problem("url", reason, remedy, value=_without_secrets(url), code="address_refused")])


@dataclass(frozen=True, slots=True)
class NetPolicy:
    """Where requests may go beside the open internet. Within `allowed` any port is fine, and plain http too."""

    allowed: tuple[Network, ...] = ()
    ports: frozenset[int] = WEB_PORTS


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was admitted, and the addresses that it was admitted with."""

    url: URL
    host: str
    port: int
    addresses: tuple[str, ...]


async def admit(url: str, policy: NetPolicy) -> Target:
    """Admit the URL, or raise AddressRefused with what is wrong. Asks the name server; connects to nothing."""
    parsed, host, port = _parse(url)
    addresses = await _resolve(url, host, port)
    for address in addresses:
        if (reason := refusal(address, policy.allowed)) is not None:
            # Not where it leads to: that would answer questions about the network inside.
            where = f" ({address}, {reason})" if address == host else ""
            remedy = f"{_REMEDY}. PRESSROOM_WEBHOOK_ALLOW_PRIVATE lets an operator name networks of their own"
            raise AddressRefused(url, f"leads to an address that no request may go to{where}", remedy=remedy)
    inside = all(is_allowed(address, policy.allowed) for address in addresses)
    if parsed.scheme != "https" and not inside:
        raise AddressRefused(url, "is not https")
    if port not in policy.ports and not inside:
        ports = ", ".join(map(str, sorted(policy.ports)))
        raise AddressRefused(url, f"has a port that no request may go to: not one of {ports}")
    return Target(parsed, host, port, addresses)


def pinned_session(target: Target, *, seconds: float, connections: int = 4) -> aiohttp.ClientSession:
    """A session that can reach nothing but the target. Each request takes `seconds` at most, all in all.

    Without cookies, proxies of the environment, or decompression. Pass `allow_redirects=False` to every request.
    """
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(target),
        use_dns_cache=False,
        limit=connections,
        socket_factory=_only(target),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=8190,
        max_field_size=8190,
    )


class _Pinned(AbstractResolver):
    """Answers for one host, from what was admitted."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The admitted addresses."""
        if host != self._target.host:
            raise OSError(f"{host} is not what was admitted")
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=_family(address), proto=0, flags=socket.AI_NUMERICHOST
            )
            for address in self._target.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _only(target: Target) -> aiohttp.SocketFactoryType:
    """The last door: whatever path led here, a socket is made for admitted addresses alone."""
    admitted = {(ipaddress.ip_address(address), target.port) for address in target.addresses}

    def make(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address
        if (ipaddress.ip_address(place[0]), place[1]) not in admitted:
            raise OSError("a connection to an address that was not admitted")
        return socket.socket(family, kind, protocol)

    return make


def _parse(url: str) -> tuple[URL, str, int]:
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused(url, f"must be at most {_LONGEST_URL} printable ASCII characters without blanks")
    try:
        # As aiohttp reads it: what is judged here is what is connected to.
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError as error:
        raise AddressRefused(url, f"is not an address: {error}") from None
    if parsed.scheme not in ("https", "http"):
        raise AddressRefused(url, "is not https")
    if not host or port is None or port == 0:
        raise AddressRefused(url, "names no host or no port")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise AddressRefused(url, "has a user name or a password in it")
    if parsed.fragment:
        raise AddressRefused(url, "has a fragment, which no request carries")
    return parsed, host, port


async def _resolve(url: str, host: str, port: int) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            # 127.1, 0x7f.1, 2130706433: no name ends in a number, but some resolvers take it for an address.
            raise AddressRefused(url, "has a number for a host that is no address as it should be written") from None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise AddressRefused(url, "names a host that cannot be found", for_now=True) from None
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise AddressRefused(url, "names a host without an address", for_now=True)
    return addresses


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _without_secrets(url: str) -> str:
    """For messages: without what a query or a password may hold."""
    shown: Sequence[str] = url.split("?")[0].rpartition("@")[::2]
    return ("…@" if shown[0] else "") + shown[1][:120]
