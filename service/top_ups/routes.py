"""Top-ups over HTTP."""

from schemas.top_ups import TopUp, TopUpCreate
from service.kernel import problems
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.routes import Answer, Call, Route, object_id
from service.ledger import door, reasons
from service.ledger.commands import TopUp as TopUpIntent

CREATE = Route(
    method="POST",
    path="/v1/cards/{card_id}/top-ups",
    operation_id="create_top_up",
    tag="Top-ups",
    scope="top_ups:write",
    summary="Top up a card",
    description="Credits principal for what the customer paid and, by the template's ladder, "
    "a bonus. The payment itself is taken elsewhere; send its number as payment_reference. "
    "After a time-out send the same key again.",
    body=TopUpCreate,
    answers={201: TopUp},
    idempotent=True,
    errors=(
        problems.NOT_FOUND,
        reasons.OPERATION_REFUSED,
        reasons.KEY_REUSED,
        reasons.KEY_REVERSED,
        reasons.REQUEST_IN_PROGRESS,
        reasons.STORE_NOT_ALLOWED,
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
    ),
    example_path={"card_id": example_id("crd")},
    example_body={
        "amount": {"value": 30000, "currency": "CNY"},
        "tender": "wechat_pay",
        "payment_reference": "4200002026030100481",
        "store_id": example_id("sto"),
    },
)


async def create(call: Call, body: TopUpCreate) -> Answer:
    """Credit a card."""
    card_id = object_id(call, "card_id", "crd")
    store_id = door.store_of(call, body.store_id)
    number, _ = await door.locate(call, "ledger.locate_card", card_id)
    intent = TopUpIntent(
        body.amount.value, body.amount.currency, body.tender, body.payment_reference
    )
    return await door.perform(call, body, intent, number, store_id, body.till)


HANDLERS = [handler(CREATE, create)]
