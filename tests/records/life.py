"""A card with every kind of movement, and texts that want to break out of what shows them."""

import json
from typing import Any

import msgspec

from schemas.records import CardRecord
from tests.api import shop
from tests.harness.client import Client
from tests.harness.tenant import Tenant, TestCard

MARKUP = "<script>alert(1)</script> & \"'"
TILL = {"terminal_id": "T2", "operator": MARKUP, "shift": "早班", "receipt_no": "000481"}
LINES = [
    {
        "line_id": "1", "sku": "剪发 <b>", "quantity": 2, "list_price": 4_000, "discount": 500,
        "total": 7_500,
    },
    {"line_id": "2", "sku": "SHAMPOO & \"x\"", "quantity": 1, "list_price": 500, "total": 500},
]  # fmt: skip
# Right-to-left letters, an override, an emoji, a rare character, a line break.
STRANGE = "שלום \u202eevil\u202c 😀 𰻞\n王"


async def whole(office: Client, pos: Client, tenant: Tenant) -> TestCard:
    """The card after all of it, years later, with a lapse that the last sale brought to light."""
    await shop.move_clock(office, "2036-02-29T17:30:05Z")
    card = await shop.issue(office, tenant, activate=False)
    at = f"/v1/cards/{card.card_id}"
    await office.post(f"{at}/activate", {}, shop.new_key())
    await shop.top_up(pos, card, 30_000, payment_reference="42-1", till=TILL)
    sale = await shop.sold(pos, card, 8_000, lines=LINES, till=TILL)
    part = {"lines": [{"line_id": "1", "value": 3_000}], "reason": "不满意", "till": TILL}
    await pos.post(f"/v1/redemptions/{sale}/refunds", part, shop.new_key())
    mistaken = await shop.sold(pos, card, 500)
    await pos.post(f"/v1/redemptions/{mistaken}/void", {}, shop.new_key())
    key = shop.new_key()
    await shop.redeem(pos, card, 700, key=key)
    await pos.post("/v1/reversals", {"idempotency_key": key}, shop.new_key())
    await shop.top_up(pos, card, 30_000)
    await office.post(f"{at}/freeze", {"reason": "挂失"}, shop.new_key())
    await shop.redeem(pos, card, 600, till={"operator": STRANGE})
    await office.post(f"{at}/unfreeze", {}, shop.new_key())
    await shop.redeem(pos, card, 10**6)
    await shop.move_clock(office, "2050-01-01T00:00:00Z")
    await shop.sold(office, card, 100, store_id=tenant.store_ids[1])
    return card


async def fetched(client: Client, card: TestCard, query: str = "") -> dict[str, Any]:
    """The card's record."""
    answer = await client.get(f"/v1/cards/{card.card_id}/record{query}")
    assert answer.status == 200, answer.body
    return dict(answer.json())


def typed(record: dict[str, Any]) -> CardRecord:
    """A record as the printing process takes it."""
    return msgspec.json.decode(json.dumps(record), type=CardRecord)
