"""A store's business days over HTTP."""

from msgspec import Struct

from schemas.days import Day, DayBy, DayClose, DayReopen
from service.days import operations
from service.kernel.http import Route, handler
from service.kernel.ids import example_id
from service.ledger import reasons

PATH = "/v1/stores/{store_id}/days/{business_date}"
EXAMPLE = {"store_id": example_id("sto"), "business_date": "2026-03-01"}


class By(Struct, forbid_unknown_fields=True):
    """What the lines are by."""

    by: DayBy = "store"


READ = Route(
    method="GET",
    path=PATH,
    operation_id="get_day",
    tag="Days",
    scope="days:read",
    summary="What a business day holds",
    description="A store's operations of one business date, added up by kind (and by terminal, "
    "operator or shift), open or closed, with its closings. A day ends at the store's cut-off; "
    "it also ends when it is closed.",
    query=By,
    answers={200: Day},
    errors=(reasons.STORE_NOT_ALLOWED,),
    example_path=EXAMPLE,
)
CLOSE = Route(
    method="POST",
    path=f"{PATH}/close",
    operation_id="close_day",
    tag="Days",
    scope="days:write",
    summary="Close a business day",
    description="The figures of the day, and of all before it, are final: what is recorded after "
    "this answer is of the next day, whatever the clock says, and nothing is in two days or in "
    "none. Closing a closed day changes nothing, so send it again after a time-out.",
    body=DayClose,
    answers={200: Day},
    errors=(reasons.STORE_NOT_ALLOWED, operations.DAY_REFUSED),
    example_path=EXAMPLE,
    example_body={},
)
REOPEN = Route(
    method="POST",
    path=f"{PATH}/reopen",
    operation_id="reopen_day",
    tag="Days",
    scope="days:reopen",
    summary="Open the last closed day again",
    description="For a day that was closed too early. What was booked stays: the next closing "
    "shows what came on top as its corrections. Only the last closed day opens again; opening "
    "an open day changes nothing.",
    body=DayReopen,
    answers={200: Day},
    errors=(reasons.STORE_NOT_ALLOWED, operations.DAY_REFUSED),
    example_path=EXAMPLE,
    example_body={"reason": "closed at noon by mistake"},
)

HANDLERS = [
    handler(READ, operations.read),
    handler(CLOSE, operations.close),
    handler(REOPEN, operations.reopen),
]
