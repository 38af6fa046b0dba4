"""A request's fingerprint outlives releases: a till may repeat it after an upgrade.

The pinned values are the contract. One that changes turns every retry across the upgrade into
"another request", and a till that obeys then tops up twice.
"""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas.cards import CardAction, CardCreate
from schemas.redemptions import RedemptionCreate, RefundCreate, VoidCreate
from schemas.reversals import ReversalCreate
from schemas.top_ups import TopUpCreate
from service.app import declared
from service.ledger import door
from tests.ledger import pure

KEYS = door.Keys.of(b"k" * 32)
CARD = {"card_id": "crd_01k80mu6ibh61dogc161itkgln"}
SALE = {"redemption_id": "rdm_01k80mvulqur67mqbf75b2dr74"}
CNY = {"value": 8800, "currency": "CNY"}
CASES: list[tuple[str, Any, dict[str, str], dict[str, Any], str]] = [
    (
        "issue_card",
        CardCreate,
        {},
        {"template_id": "tpl_01k80mu6i7tb2d45seep13en6p"},
        "58e95957b008d3c4d2fe79d80d6f73eb",
    ),
    ("activate_card", CardAction, CARD, {}, "7bfb3df2cd3dea40a296304fccd96d16"),
    ("freeze_card", CardAction, CARD, {"reason": "lost"}, "0cc42f50514e97d3105afa0a6f73e9b4"),
    ("unfreeze_card", CardAction, CARD, {}, "aa75854b1b1ab91f75d7b32ecb987900"),
    (
        "create_top_up",
        TopUpCreate,
        CARD,
        {"amount": CNY, "tender": "cash"},
        "fe6efe713da2b67a2651fca913ba95e4",
    ),
    (
        "create_redemption",
        RedemptionCreate,
        {},
        {"request_no": "R1", "amount": CNY, "sources": [{"card_number": "8800123412341236"}]},
        "9520ed61d4a00dc928bc6522c3a1a3e5",
    ),
    (
        "create_refund",
        RefundCreate,
        SALE,
        {"lines": [{"line_id": "1", "value": 1}]},
        "b37b6973c2d5993a7a5b60f24b579b77",
    ),
    ("void_redemption", VoidCreate, SALE, {}, "e8d701a12e58c9172117338da17751ba"),
    (
        "create_reversal",
        ReversalCreate,
        {},
        {"idempotency_key": "key-00000001"},
        "649eaf9ebe19506d8045cfe4dc3a74e2",
    ),
]


def fingerprint(route: str, path: dict[str, str], body: Any, store_id: str | None = "sto_1") -> str:
    """As the door makes it."""
    call: Any = SimpleNamespace(
        route=route, path=path, scope="cards:write", credential=pure.credential(store_id=store_id)
    )
    return door.fingerprint(KEYS, call, body).hex()


@pytest.mark.parametrize(("route", "wanted", "path", "given", "pinned"), CASES)
def test_a_fingerprint_is_the_same_in_every_release(
    route: str, wanted: Any, path: dict[str, str], given: dict[str, Any], pinned: str
) -> None:
    assert fingerprint(route, path, msgspec.convert(given, wanted)) == pinned


def test_every_idempotent_route_is_pinned() -> None:
    routes = {route.operation_id for route in declared() if route.idempotent}
    assert routes == {case[0] for case in CASES}


@pytest.mark.parametrize("omit_defaults", [True, False])
def test_a_field_added_later_changes_nothing(omit_defaults: bool) -> None:
    """Negative control: a body that encodes its defaults has another fingerprint after it."""
    old: Any = msgspec.defstruct("Body", [("a", int)], omit_defaults=omit_defaults)
    new: Any = msgspec.defstruct(
        "Body", [("a", int), ("b", int | None, None)], omit_defaults=omit_defaults
    )
    same = fingerprint("r", {}, old(1)) == fingerprint("r", {}, new(1))
    assert same is omit_defaults


def test_another_store_route_path_or_body_is_another_request() -> None:
    body = msgspec.convert(CASES[4][3], TopUpCreate)
    other = msgspec.convert({**CASES[4][3], "tender": "alipay"}, TopUpCreate)
    made = {
        fingerprint("create_top_up", CARD, body),
        fingerprint("create_top_up", CARD, body, "sto_2"),
        fingerprint("create_top_up", SALE, body),
        fingerprint("freeze_card", CARD, body),
        fingerprint("create_top_up", CARD, other),
    }
    assert len(made) == 5
