"""Which internet addresses a request may go to that somebody else named. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# RFC 6890 and its registry, and what clouds answer instances on. Written out: what `ipaddress` calls global changes
# with the version of Python, and has had holes.
_REFUSED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier, and a cloud's metadata"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's metadata"),
        ("169.254.0.0/16", "link-local, and clouds' metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved, and a cloud's metadata"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "a relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

# Nothing but global unicast is let through. That leaves out loopback, link-local, unique local and multicast, and the
# forms that carry an IPv4 address in them (::a.b.c.d, ::ffff:a.b.c.d, 64:ff9b::/96). In it, these:
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "reserved, and Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4, which carries an IPv4 address"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
    )
)


def refusal(address: str, allowed: Sequence[Network] = ()) -> str | None:
    """Why no request may go to the address; None where it may. What is in `allowed` may always be gone to.

    An address that is none, or that names an interface (`fe80::1%eth0`), is refused.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "not an address"
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return "bound to an interface"
    if is_allowed(address, allowed):
        return None
    if isinstance(parsed, IPv4Address):
        return next((what for network, what in _REFUSED_V4 if parsed in network), None)
    if parsed not in _GLOBAL_V6:
        return "not global unicast"
    return next((what for network, what in _REFUSED_V6 if parsed in network), None)


def is_allowed(address: str, allowed: Sequence[Network]) -> bool:
    """Whether an operator said that requests may go there."""
    parsed = ip_address(address)
    return any(parsed.version == network.version and parsed in network for network in allowed)


def parse_networks(given: Sequence[str]) -> tuple[Network, ...]:
    """`10.1.0.0/16`, `fd00:1::/48`, `192.168.1.7`. Raises ValueError naming what is not."""
    return tuple(ip_network(one.strip()) for one in given if one.strip())
