"""Which URLs are admitted, and that a pinned session reaches nothing else."""

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiohttp
import pytest
from yarl import URL

from pressroom.net.addresses import parse_networks
from pressroom.net.guard import AddressRefused, NetPolicy, Target, admit, pinned_session
from tests.fixtures.receiver import Receiver

OPEN = NetPolicy()
LOOPBACK = NetPolicy(parse_networks(["127.0.0.0/8", "::1/128"]))
T = TypeVar("T")


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34/hooks",
        "ftp://93.184.216.34/",
        "file:///etc/passwd",
        "gopher://93.184.216.34/",
        "https://user@93.184.216.34/",
        "https://user:secret@93.184.216.34/",
        "https://:secret@93.184.216.34/",
        "https://93.184.216.34:22/",
        "https://93.184.216.34:0/",
        "https://93.184.216.34:99999/",
        "https://93.184.216.34/#part",
        "https:///hooks",
        "https://",
        "hooks",
        "",
        "//93.184.216.34/",
        "https://93.184.216.34\\@127.0.0.1/",
        "https://93.184.216.34 /",
        "https://93.184.216.34/\nHost: x",
        "https://exämple.com/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://[/",
        "https://" + "a" * 2050,
    ],
)
def test_what_is_not_for_the_open_internet_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        _run(admit(url, OPEN))


@pytest.mark.parametrize(
    "url", ["https://93.184.216.34/hooks?a=b", "https://93.184.216.34:8443/", "HTTPS://93.184.216.34"]
)
def test_what_is_open_is_admitted_with_its_addresses(url: str) -> None:
    assert _run(admit(url, OPEN)).addresses == ("93.184.216.34",)


def test_a_network_of_the_operators_may_be_gone_to_by_http_and_any_port() -> None:
    assert "127.0.0.1" in _run(admit("http://localhost:8081/", LOOPBACK)).addresses
    assert _run(admit("http://[::1]:8081/", LOOPBACK)).addresses == ("::1",)


def test_ports_are_a_setting() -> None:
    assert _run(admit("https://93.184.216.34:9443/", NetPolicy(ports=frozenset({9443})))).port == 9443


def test_a_refusal_shows_no_password_and_no_query() -> None:
    with pytest.raises(AddressRefused) as refused:
        _run(admit("https://user:secret@93.184.216.34/a?token=hidden", OPEN))

    assert "secret" not in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_name_is_not_looked_up_again_after_it_was_admitted(receiver: Receiver) -> None:
    """What it leads to by then does not matter: the name here leads nowhere at all."""
    target = _target(receiver, "rebound.invalid")

    async def post() -> int:
        async with (
            pinned_session(target, seconds=5) as session,
            session.post(target.url, data=b"", allow_redirects=False) as answer,
        ):
            return answer.status

    assert _run(post()) == 204
    assert receiver.received[0].headers["host"] == f"rebound.invalid:{receiver.port}"


@pytest.mark.parametrize(
    "elsewhere", ["http://127.0.0.1:{other}/", "http://localhost:{port}/", "http://127.0.0.2:{port}/"]
)
def test_a_session_reaches_what_was_admitted_and_nothing_else(receiver: Receiver, elsewhere: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = elsewhere.format(port=receiver.port, other=listening.getsockname()[1])

        async def post() -> None:
            async with pinned_session(_target(receiver, "127.0.0.1"), seconds=5) as session:
                await session.post(url, data=b"", allow_redirects=False)

        with pytest.raises((aiohttp.ClientError, OSError)):
            _run(post())
    assert receiver.received == []


def _target(receiver: Receiver, host: str) -> Target:
    return Target(URL(f"http://{host}:{receiver.port}/hooks"), host, receiver.port, ("127.0.0.1",))
