"""Visits over HTTP."""

from schemas.visits import Visit, VisitBegin, VisitBegun, VisitList
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons
from service.visits import operations

TAG = "People"
PATH = "/v1/visits"

BEGIN = Route(
    method="POST",
    path=PATH,
    operation_id="begin_visit",
    tag=TAG,
    scope="visits:write",
    summary="Visit a merchant",
    description="For the platform's people. Answers a token that is good at that merchant for an "
    "hour, as what your role visits as: it looks, and moves no money. The merchant sees who "
    "visits, as what and why, and can end it. Another visit to the same merchant ends this one.",
    body=VisitBegin,
    answers={201: VisitBegun},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED),
    example_body={
        "merchant_id": example_id("mer"),
        "role": "visiting_support",
        "reason": "工单 20481：核对重复扣款",
    },
)
LIST = Route(
    method="GET",
    path=PATH,
    operation_id="list_visits",
    tag=TAG,
    scope="visits:read",
    summary="See who of the platform visited",
    description="At a merchant: every visit to it, newest first, with who, as what, why and until "
    "when; what they did is in the audit trail under their `user_id`. At the platform: all visits "
    "of its people.",
    query=Paging,
    answers={200: VisitList},
    errors=(),
)
END = Route(
    method="POST",
    path=f"{PATH}/{{visit_id}}/end",
    operation_id="end_visit",
    tag=TAG,
    scope="visits:end",
    summary="End a visit",
    description="Nothing that is sent with its token after the answer is accepted. One that is "
    "over stays as it is. It takes no body.",
    answers={200: Visit},
    errors=(),
    example_path={"visit_id": example_id("vis")},
)

HANDLERS = [
    handler(BEGIN, operations.begin),
    handler(LIST, operations.browse),
    handler(END, operations.end),
]
