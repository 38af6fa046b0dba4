"""Receipts over HTTP."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import Id, Label
from schemas.receipts import Receipt
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.problems import NOT_FOUND
from service.kernel.routes import Answer, Call, Route, json_answer, object_id
from service.ledger.door import store_of
from service.ledger.reading import own, reading
from service.ledger.reasons import STORE_NOT_ALLOWED, UNPROCESSABLE
from service.receipts import store


class OfTerminal(Struct, forbid_unknown_fields=True):
    """Which terminal, and at which store."""

    terminal_id: Annotated[
        Label, Meta(description="As it is sent in `till.terminal_id`.", examples=["T2"])
    ]
    store_id: Annotated[
        Id | None,
        Meta(
            description="Needed with a merchant's key; a till's key has its store.",
            examples=[example_id("sto")],
        ),
    ] = None


READ = Route(
    method="GET",
    path="/v1/receipts/{operation_id}",
    operation_id="get_receipt",
    tag="Receipts",
    scope="redemptions:read",
    summary="Print an operation, or print it again",
    description="Everything a receipt shows of an operation of any kind: a redemption, a top-up, a "
    "refund, a refused attempt. The id is the one in its answer. A till's key may print what its "
    "own store did.",
    answers={200: Receipt},
    errors=(STORE_NOT_ALLOWED,),
    example_path={"operation_id": example_id("rdm")},
)
LAST = Route(
    method="GET",
    path="/v1/operations/last",
    operation_id="get_last_operation",
    tag="Receipts",
    scope="redemptions:read",
    summary="What did this terminal do last?",
    description="For a till that lost its memory: the receipt of the newest operation, accepted or "
    "refused, that named this terminal at this store. 404: there is none. Only what was sent with "
    "`till.terminal_id` is found; a reversal or a new card names no terminal. What is being "
    "sent right now may still come: where a sale is in doubt, send it again under its key.",
    query=OfTerminal,
    answers={200: Receipt},
    errors=(NOT_FOUND, STORE_NOT_ALLOWED, UNPROCESSABLE),
)


async def read(call: Call, _: None) -> Answer:
    """The receipt of an operation."""
    operation_id = object_id(call, "operation_id")
    async with reading(call) as tenant:
        return json_answer(200, own(call, await store.by_operation(tenant, operation_id)))


async def last(call: Call, _: None) -> Answer:
    """The receipt of what a terminal did last."""
    store_id = store_of(call, call.query.store_id)
    async with reading(call) as tenant:
        found = await store.last_of_terminal(tenant, store_id, call.query.terminal_id)
        return json_answer(200, own(call, found))


HANDLERS = [handler(READ, read), handler(LAST, last)]
