"""Where a request came from: the network's word, or that of the proxies in front of us.

Each proxy adds the address it was reached from at the end of `X-Forwarded-For`. With n proxies of
ours the n-th from the end was added by the outermost; whatever stands before it is what the client
claims, and counts for nothing (THREAT-T8).
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from litestar.types import Scope


def address_of(scope: Scope, proxies: int) -> str | None:
    """The address a request came from; None where there is none that can be believed."""
    client = scope.get("client")
    if proxies == 0:
        return client[0] if client else None
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    claimed = b",".join(forwarded).decode("latin-1").split(",")
    if len(claimed) < proxies:
        return None  # it didn't come through all of them
    found = _parsed(claimed[-proxies].strip())
    return None if found is None else str(found)


def place_of(address: str | None) -> str:
    """Where somebody comes from; whoever has one address of a network of IPv6 has all of it."""
    found = _parsed(address or "")
    if found is None:
        return ""
    return str(found if found.version == 4 else ip_network((found, 64), strict=False))


def is_inside(address: str | None, networks: Iterable[str]) -> bool:
    """Whether an address is in one of these networks; one that isn't known is in none."""
    found = _parsed(address or "")
    return found is not None and any(found in _network(text) for text in networks)


def is_near(host: str) -> bool:
    """Whether a host, as a URL names it, is the one this runs on; without a name it is."""
    found = _parsed(host.strip("[]"))
    return host in ("", "localhost") or (found is not None and found.is_loopback)


def is_network(text: str) -> bool:
    """Whether a text is a network or a single address."""
    try:
        _network(text)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address; one of IPv4 that a socket of both kinds writes as IPv6 is what it was."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


@lru_cache(4096)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)
