"""No address that only this machine can reach is let through, in whatever form it is written."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.net.addresses import is_allowed, parse_networks, refusal

INSIDE_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
INSIDE_V6 = [
    IPv6Network(network)
    for network in ("::/127", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32", "100::/64")
]


def _in(network: IPv4Network | IPv6Network) -> st.SearchStrategy[str]:
    kind = IPv4Address if network.version == 4 else IPv6Address
    first, last = int(network.network_address), int(network.broadcast_address)
    return st.integers(first, last).map(lambda number: str(kind(number)))


inside_v4 = st.sampled_from(INSIDE_V4).flatmap(_in)
inside = st.one_of(inside_v4, st.sampled_from(INSIDE_V6).flatmap(_in))
any_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)


@given(inside)
def test_what_is_inside_is_refused(address: str) -> None:
    assert refusal(address) is not None


@given(any_v4, st.sampled_from(["::ffff:0:0", "::", "64:ff9b::", "64:ff9b:1::"]))
def test_no_form_that_carries_an_ipv4_address_gets_through(address: IPv4Address, prefix: str) -> None:
    """Not even a public one: no name needs to lead there."""
    carried = IPv6Address(int(IPv6Address(prefix)) | int(address))

    assert refusal(str(carried)) is not None


@given(any_v4, st.integers(0, 2**80 - 1))
def test_no_6to4_or_teredo_address_gets_through(address: IPv4Address, rest: int) -> None:
    assert refusal(str(IPv6Address((0x2002 << 112) | (int(address) << 80) | rest))) is not None
    assert refusal(str(IPv6Address((0x20010000 << 96) | (rest << 16) % 2**96))) is not None


@given(st.integers(0, 2**128 - 1))
def test_what_the_standard_library_calls_private_is_refused(number: int) -> None:
    address = IPv6Address(number)
    if (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
    ):
        assert refusal(str(address)) is not None


@given(any_v4)
def test_of_ipv4_exactly_what_the_standard_library_calls_global_is_let_through(address: IPv4Address) -> None:
    """But for a few addresses that it has no opinion on, which are refused."""
    if not address.is_global or address.is_multicast:
        assert refusal(str(address)) is not None
    elif refusal(str(address)) is not None:
        ours = (
            "168.63.129.16/32",
            "192.88.99.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.175.48.0/24",
            "192.0.0.0/24",
        )
        assert any(address in IPv4Network(network) for network in ours)


@given(inside_v4)
def test_an_operator_may_allow_a_network_and_no_more(address: str) -> None:
    allowed = parse_networks([f"{address}/32"])
    next_one = str(IPv4Address(int(IPv4Address(address)) ^ 1))

    assert refusal(address, allowed) is None
    assert is_allowed(address, allowed)
    assert refusal(next_one, allowed) is not None
    assert refusal(f"::ffff:{address}", allowed) is not None


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
    ],
)
def test_the_open_internet_is_let_through(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1%eth0",
        "2606:4700::1111%1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "",
        "example.com",
    ],
)
def test_metadata_and_odd_forms_are_refused(address: str) -> None:
    assert refusal(address) is not None
