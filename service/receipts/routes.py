"""Receipts over HTTP."""

from schemas.receipts import Receipt
from service.kernel.http import Answer, Call, Route, handler, json_answer, object_id
from service.kernel.ids import example_id
from service.ledger.reading import own, reading
from service.ledger.reasons import STORE_NOT_ALLOWED
from service.receipts import store

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


async def read(call: Call, _: None) -> Answer:
    """The receipt of an operation."""
    operation_id = object_id(call, "operation_id")
    async with reading(call) as tenant:
        return json_answer(200, own(call, await store.by_operation(tenant, operation_id)))


HANDLERS = [handler(READ, read)]
