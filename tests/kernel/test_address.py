"""The address that counts is the one a proxy of ours was reached from. THREAT-T8."""

from typing import Any, cast

import pytest

from service.kernel.address import address_of, is_inside, place_of

PEER, CLIENT, LIE = "10.0.0.7", "203.0.113.9", "198.51.100.1"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("", 0, PEER),
        (f"{LIE}, {CLIENT}", 0, PEER),  # nobody's word but the network's
        (CLIENT, 1, CLIENT),
        (f"{LIE}, {CLIENT}", 1, CLIENT),
        (f"{LIE},{LIE} ,{CLIENT}", 1, CLIENT),
        (f"{LIE}\n{CLIENT}", 1, CLIENT),  # two headers
        (f"{LIE}, {CLIENT}, 10.0.0.8", 2, CLIENT),
        (f"{CLIENT}, 10.0.0.8", 2, CLIENT),
        ("10.0.0.8", 2, None),  # past the outer proxy
        ("", 1, None),
        ("unknown", 1, None),
        (f"{CLIENT}:4711", 1, None),
        ("2001:DB8::1", 1, "2001:db8::1"),
        (f"::ffff:{CLIENT}", 1, CLIENT),
        ("\xff", 1, None),
    ],
)
def test_THREAT_T8_what_a_client_claims_counts_for_nothing(
    forwarded: str, proxies: int, address: str | None
) -> None:
    sent = [(b"x-forwarded-for", text.encode("latin-1")) for text in forwarded.split("\n") if text]
    assert address_of(cast(Any, {"client": (PEER, 1), "headers": sent}), proxies) == address


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (CLIENT, CLIENT),
        (f"::ffff:{CLIENT}", CLIENT),  # as a socket of both kinds tells it
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("unknown", ""),
        (None, ""),
    ],
)
def test_who_has_one_address_of_a_network_has_all(address: str | None, place: str) -> None:
    assert place_of(address) == place


@pytest.mark.parametrize(
    ("address", "inside"),
    [(CLIENT, True), (f"::ffff:{CLIENT}", True), (LIE, False), ("unknown", False), (None, False)],
)
def test_who_is_inside_a_network(address: str | None, inside: bool) -> None:
    assert is_inside(address, ["2001:db8::/32", "203.0.113.0/24"]) == inside
