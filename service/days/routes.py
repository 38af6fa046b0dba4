"""A store's business days over HTTP."""

from msgspec import Struct

from schemas.days import Day, DayBy, DayClose, DayReopen
from service.approvals.operations import APPROVAL_REQUIRED
from service.days import operations
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.routes import Route
from service.ledger import reasons

PATH = "/v1/stores/{store_id}/days/{business_date}"
CHANGE_ERRORS = (reasons.STORE_NOT_ALLOWED, reasons.MERCHANT_SUSPENDED, operations.DAY_REFUSED)
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
    "none. After a time-out send it again as it was: a closed day stays as it is. A closing waits "
    "for sales on their way; 503 when they take too long.",
    body=DayClose,
    answers={200: Day},
    errors=CHANGE_ERRORS,
    slow=True,
    example_path=EXAMPLE,
    example_body={"change_no": 0},
)
REOPEN = Route(
    method="POST",
    path=f"{PATH}/reopen",
    operation_id="reopen_day",
    tag="Days",
    scope="days:reopen",
    summary="Open today again",
    description="For a day that was closed too early, until it ends at the store's cut-off. What "
    "was booked stays: the next closing shows what came on top as its corrections. What was sold "
    "between closing and opening stays in the next day, and can't be voided until this one is "
    "closed again. An open day stays as it is.",
    body=DayReopen,
    answers={200: Day},
    errors=(*CHANGE_ERRORS, APPROVAL_REQUIRED),
    slow=True,
    # Another day than the one closed above, so that both examples run: only today opens again.
    example_path={**EXAMPLE, "business_date": "2026-03-02"},
    example_body={"change_no": 1, "reason": "closed at noon by mistake"},
)

HANDLERS = [
    handler(READ, operations.read),
    handler(CLOSE, operations.close),
    handler(REOPEN, operations.reopen),
]
