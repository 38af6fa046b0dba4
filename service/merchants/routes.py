"""The tenant itself over HTTP: for now, the clock of a test tenant."""

import msgspec

from schemas.merchants import TestClock, TestClockMove
from service.audit import operations as audit
from service.kernel.http import handler
from service.kernel.problems import ProblemError, because, define_reason
from service.kernel.routes import Answer, Call, Route
from service.ledger.reading import writing
from service.ledger.reasons import UNPROCESSABLE
from service.merchants import operations

MOVE = Route(
    method="POST",
    path="/v1/test-clock",
    operation_id="move_test_clock",
    tag="Test mode",
    scope="test_clock:write",
    summary="Move a test tenant's clock forward",
    description="Expiry, lapses and business dates follow this clock. It never goes back; "
    "a live tenant has none.",
    body=TestClockMove,
    answers={200: TestClock},
    errors=(UNPROCESSABLE,),
    example_body={"now": "2030-01-01T00:00:00Z"},
)

CLOCK_MOVES_FORWARD = define_reason(
    "clock_moves_forward", "The test clock never goes back; name a later instant."
)


async def move(call: Call, body: TestClockMove) -> Answer:
    """Move the clock."""
    try:
        async with writing(call) as tenant:
            merchant_id = tenant.merchant.merchant_id
            now = await operations.move_clock(tenant.connection, merchant_id, body.now)
            before, after = {"now": tenant.now}, {"now": now}
            await audit.record(
                call, tenant, "test_clock.moved", merchant_id, before=before, after=after
            )
    except ValueError as error:
        raise ProblemError(
            UNPROCESSABLE, reasons=[because(CLOCK_MOVES_FORWARD, str(error), path="$.now")]
        ) from None
    return Answer(200, msgspec.json.encode(TestClock(now)))


HANDLERS = [handler(MOVE, move)]
