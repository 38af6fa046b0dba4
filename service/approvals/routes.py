"""Approvals over HTTP."""

from schemas.approvals import (
    Approval,
    ApprovalList,
    ApprovalStatus,
    Authority,
    AuthorityChange,
    Decision,
)
from service.approvals import operations
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons

TAG = "Approvals"
PATH = "/v1/approvals/{approval_id}"
EXAMPLE = {"approval_id": example_id("apv")}
DECISION_ERRORS = (
    reasons.MERCHANT_SUSPENDED,
    reasons.STORE_NOT_ALLOWED,
    operations.APPROVAL_REFUSED,
)


class ApprovalQuery(Paging, forbid_unknown_fields=True):
    """Which approvals."""

    status: ApprovalStatus | None = None


BROWSE = Route(
    method="GET",
    path="/v1/approvals",
    operation_id="list_approvals",
    tag=TAG,
    scope="approvals:read",
    summary="What waits for a second person",
    description="And what did, newest first: in the whole merchant, or at the stores that are "
    "yours. `status=open` is what somebody must decide.",
    query=ApprovalQuery,
    answers={200: ApprovalList},
    errors=(),
)
READ = Route(
    method="GET",
    path=PATH,
    operation_id="get_approval",
    tag=TAG,
    scope="approvals:read",
    summary="An approval by id",
    description="A till that was answered `approval_required` asks here until the status is "
    "`approved`, and then sends its request again, the same to the last byte.",
    answers={200: Approval},
    errors=(reasons.STORE_NOT_ALLOWED,),
    example_path=EXAMPLE,
)
APPROVE = Route(
    method="POST",
    path=f"{PATH}/approve",
    operation_id="approve",
    tag=TAG,
    scope="approvals:decide",
    summary="Approve it",
    description="You say yes to exactly what `digest` covers. It isn't done by that: whoever asked "
    "sends the request again, within a day. Nobody approves what they asked for themselves, in "
    "another session or with an API key they made; and each person says so once.",
    body=Decision,
    answers={200: Approval},
    errors=DECISION_ERRORS,
    example_path=EXAMPLE,
    example_body={"digest": "9f" * 32, "note": "receipt seen"},
)
REJECT = Route(
    method="POST",
    path=f"{PATH}/reject",
    operation_id="reject",
    tag=TAG,
    scope="approvals:decide",
    summary="Reject it",
    description="One no is enough. From whoever asked it means: never mind.",
    body=Decision,
    answers={200: Approval},
    errors=DECISION_ERRORS,
    example_path=EXAMPLE,
    example_body={"digest": "9f" * 32, "note": "no receipt"},
)
READ_AUTHORITY = Route(
    method="GET",
    path="/v1/authority",
    operation_id="get_authority",
    tag=TAG,
    scope="approvals:read",
    summary="The rules for what needs approval",
    description="Version 0: there are none yet, and nothing waits for anybody.",
    answers={200: Authority},
    errors=(),
)
CHANGE_AUTHORITY = Route(
    method="POST",
    path="/v1/authority",
    operation_id="change_authority",
    tag=TAG,
    scope="authority:write",
    summary="Make the rules for what needs approval",
    description="All of them, in place of those there are. Once there are any, whoever changes "
    "them needs another owner or checker, too. What is waiting meanwhile falls under the rules as "
    "they are when it is sent again.",
    body=AuthorityChange,
    answers={201: Authority},
    errors=(
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
        operations.AUTHORITY_MOVED,
        operations.APPROVAL_REQUIRED,
    ),
    example_body={
        "version": 0,
        "rules": [
            {"kind": "refund", "amount_above": 50_000, "roles": ["store_manager", "finance"]},
            {"kind": "refund", "day_count_above": 20, "roles": ["store_manager"]},
            {"kind": "role.grant", "roles": ["owner"]},
        ],
    },
)

HANDLERS = [
    handler(BROWSE, operations.browse),
    handler(READ, operations.read),
    handler(APPROVE, operations.approve),
    handler(REJECT, operations.reject),
    handler(READ_AUTHORITY, operations.read_authority),
    handler(CHANGE_AUTHORITY, operations.change_authority),
]
