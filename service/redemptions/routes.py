"""Redemptions over HTTP: quote, redeem, look up, refund, void."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import EXAMPLE_NUMBER, Id, RequestNo
from schemas.redemptions import (
    Quote,
    QuoteRequest,
    Redemption,
    RedemptionCreate,
    RedemptionList,
    Refund,
    RefundCreate,
    VoidCreate,
)
from service.approvals.operations import APPROVAL_REQUIRED
from service.kernel import problems
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.routes import Route
from service.ledger import reasons
from service.redemptions import operations

WRITE_ERRORS = (
    reasons.KEY_REUSED,
    reasons.KEY_REVERSED,
    reasons.REQUEST_IN_PROGRESS,
    reasons.STORE_NOT_ALLOWED,
    reasons.UNPROCESSABLE,
    reasons.MERCHANT_SUSPENDED,
)
_BASKET = {
    "request_no": "POS12-20260301-000481",
    "amount": {"value": 8800, "currency": "CNY"},
    "sources": [{"card_number": EXAMPLE_NUMBER}],
    "store_id": example_id("sto"),
    "lines": [
        {
            "line_id": "1",
            "sku": "CUT",
            "quantity": 1,
            "list_price": 9800,
            "discount": 1000,
            "tax": 0,
            "total": 8800,
            "category": "hair",
        }
    ],
    "till": {"terminal_id": "T2", "operator": "0417", "receipt_no": "000481"},
}


class ByRequestNo(Struct, forbid_unknown_fields=True):
    """Which redemption a till asks after."""

    request_no: RequestNo
    store_id: Annotated[Id | None, Meta(examples=[example_id("sto")])] = None


CREATE = Route(
    method="POST",
    path="/v1/redemptions",
    operation_id="create_redemption",
    tag="Redemptions",
    scope="redemptions:write",
    summary="Redeem from a card",
    description="Takes the amount from the card, exactly once: store the Idempotency-Key before "
    "you send, and after a time-out send the same request with the same key. "
    "A refusal (409, retry new_key) is final for its key; all reasons come at once.",
    body=RedemptionCreate,
    answers={201: Redemption},
    idempotent=True,
    example_body=_BASKET,
    errors=(
        reasons.REDEMPTION_REFUSED,
        reasons.DUPLICATE_REQUEST_NO,
        reasons.CARD_NOT_FOUND,
        problems.NOT_FOUND,
        *WRITE_ERRORS,
    ),
)
QUOTE = Route(
    method="POST",
    path="/v1/redemptions/quote",
    operation_id="quote_redemption",
    tag="Redemptions",
    scope="redemptions:write",
    summary="Ask what a redemption would do",
    description="The same decision as a redemption, with nothing moved and no key used. "
    "Send the quote_token with the redemption to have it refused if the terms moved meanwhile.",
    body=QuoteRequest,
    safe=True,
    answers={200: Quote},
    example_body={name: _BASKET[name] for name in ("amount", "sources", "store_id", "lines")},
    errors=(
        reasons.CARD_NOT_FOUND,
        problems.NOT_FOUND,
        reasons.STORE_NOT_ALLOWED,
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
    ),
)
FIND = Route(
    method="GET",
    path="/v1/redemptions",
    operation_id="find_redemptions",
    tag="Redemptions",
    scope="redemptions:read",
    summary="Did it happen? Find redemptions by request number",
    description="At most one captured redemption carries a request number of a store; "
    "refused attempts are listed too.",
    query=ByRequestNo,
    answers={200: RedemptionList},
    errors=(reasons.STORE_NOT_ALLOWED, reasons.UNPROCESSABLE),
)
READ = Route(
    method="GET",
    path="/v1/redemptions/{redemption_id}",
    operation_id="get_redemption",
    tag="Redemptions",
    scope="redemptions:read",
    summary="Look at a redemption",
    description="As it is now, with what has been refunded.",
    answers={200: Redemption},
    errors=(reasons.STORE_NOT_ALLOWED,),
    example_path={"redemption_id": example_id("rdm")},
)
REFUND = Route(
    method="POST",
    path="/v1/redemptions/{redemption_id}/refunds",
    operation_id="create_refund",
    tag="Redemptions",
    scope="refunds:write",
    summary="Refund part or all of a redemption",
    description="Gives value back to the lots it came from. "
    "Name an amount, or lines, or nothing for all that is left.",
    body=RefundCreate,
    answers={201: Refund},
    idempotent=True,
    example_path={"redemption_id": example_id("rdm")},
    example_body={"amount": {"value": 3000, "currency": "CNY"}, "reason": "one item returned"},
    errors=(APPROVAL_REQUIRED, reasons.REFUND_REFUSED, *WRITE_ERRORS),
)
VOID = Route(
    method="POST",
    path="/v1/redemptions/{redemption_id}/void",
    operation_id="void_redemption",
    tag="Redemptions",
    scope="refunds:write",
    summary="Void a redemption of today",
    description="Undoes all of it on its own business date, before any refund. Later, refund.",
    body=VoidCreate,
    answers={201: Refund},
    idempotent=True,
    example_path={"redemption_id": example_id("rdm", 1)},
    example_body={"reason": "wrong card"},
    errors=(APPROVAL_REQUIRED, reasons.REFUND_REFUSED, *WRITE_ERRORS),
)

HANDLERS = [
    handler(CREATE, operations.create),
    handler(QUOTE, operations.quote),
    handler(FIND, operations.find),
    handler(READ, operations.read),
    handler(REFUND, operations.refund),
    handler(VOID, operations.void),
]
