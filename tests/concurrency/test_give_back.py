"""Refund, void and reversal race each other: never more than the amount comes back (THREAT-T5)."""

from typing import Any

from tests.concurrency.crowd import (
    Request,
    codes,
    crowd_of,
    look,
    make_cards,
    redeem,
    reverse,
    worth,
)
from tests.harness.client import Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant

ROUNDS = 50
COPIES = 4
PRICE = 100
PART = 60
RICH = 1_000_000
# Two that race, and what they may give back together.
PAIRS = {
    ("refund", "refund"): {PRICE},
    ("part", "part"): {PART},
    ("part", "refund"): {PRICE},
    ("void", "void"): {PRICE},
    ("void", "refund"): {PRICE},
    # A part given back closes the void.
    ("void", "part"): {PRICE, PART},
    ("reversal", "refund"): {PRICE},
    ("reversal", "part"): {PRICE},
}
REFUSALS = {"redemption_closed", "refund_exceeds_left", "void_after_refund"}


async def test_T5_two_that_give_back_at_once_never_give_more_than_was_taken(
    server: Server, tenant: Tenant
) -> None:
    """Promise: in 200 races a pair, what comes back is what was taken, and the loser hears why."""
    store_id = tenant.store_ids[0]
    races = [pair for pair in PAIRS for _ in range(COPIES)]
    async with crowd_of(server, tenant.merchant_key, 2 * len(races)) as crowd:
        cards = await make_cards(crowd, tenant, len(races), RICH, "back")
        back = [0] * len(races)
        for number in range(ROUNDS):
            keys = [f"sale-{number:02d}-{race:02d}" for race in range(len(races))]
            sales = [
                redeem(card, PRICE, key, store_id=store_id)
                for card, key in zip(cards, keys, strict=True)
            ]
            # The other half of the crowd redeems elsewhere meanwhile, so that the workers are busy.
            noise = [
                redeem(card, 1, f"{key}-n", store_id=store_id)
                for card, key in zip(cards, keys, strict=True)
            ]
            sold = await crowd.release([*sales, *noise])
            assert {answer.status for answer in sold} == {201}
            ids = [answer.json()["id"] for answer in sold[: len(races)]]
            wave = [
                _undo(kind, redemption_id, key, f"{key}-{place}")
                for pair, redemption_id, key in zip(races, ids, keys, strict=True)
                for place, kind in enumerate(pair)
            ]
            answers = await crowd.release(wave)
            for race, pair in enumerate(races):
                two = answers[2 * race : 2 * race + 2]
                given = sum(_given(answer) for answer in two)
                assert given in PAIRS[pair], (pair, two)
                assert all(
                    set(codes(answer)[1:]) <= REFUSALS for answer in two if answer.status != 201
                )
                back[race] += given - PRICE - 1
        for race, card in enumerate(cards):
            now = await look(crowd.clients[0], card)
            assert now["balances"]["total"] == worth(RICH) + back[race]


def _undo(kind: str, redemption_id: str, sale_key: str, key: str) -> Request:
    if kind == "reversal":
        return reverse(sale_key, key)
    if kind == "void":
        return Request(f"/v1/redemptions/{redemption_id}/void", {}, key)
    body: dict[str, Any] = {"amount": {"value": PART, "currency": "CNY"}} if kind == "part" else {}
    return Request(f"/v1/redemptions/{redemption_id}/refunds", body, key)


def _given(answer: Response) -> int:
    """What an answer says went back to the card; a refusal gives nothing."""
    if answer.status == 409:
        return 0
    assert answer.status == 201, answer.body
    return sum(part["value"] for part in answer.json()["allocations"])
