"""From where a key may be used. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network


def network(text: str) -> IPv4Network | IPv6Network:
    """A network or a single address. Raises ValueError for what is neither."""
    return ip_network(text)


def bad_networks(texts: Iterable[str]) -> list[int]:
    """The places of those that can't be read."""
    return [place for place, text in enumerate(texts) if not _is_network(text)]


@lru_cache(1024)
def _is_network(text: str) -> bool:
    try:
        network(text)
    except ValueError:
        return False
    return True
