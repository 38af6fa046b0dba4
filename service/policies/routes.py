"""Policies over HTTP."""

from schemas.policies import Policy, PolicyChange, PolicyList
from service.approvals.operations import APPROVAL_REQUIRED
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons
from service.policies import operations

TAG = "Organisation"
EXAMPLE = {"node_id": example_id("sto")}

BROWSE = Route(
    method="GET",
    path="/v1/policies",
    operation_id="list_policies",
    tag=TAG,
    scope="stores:read",
    summary="List the places that say what stores may do",
    description="Headquarters, areas and stores that have rules of their own, with those. What "
    "holds at a store by all of them: `GET /v1/policies/{store_id}`.",
    query=Paging,
    answers={200: PolicyList},
    errors=(),
)
READ = Route(
    method="GET",
    path="/v1/policies/{node_id}",
    operation_id="get_policy",
    tag=TAG,
    scope="stores:read",
    summary="What holds at a place",
    description="`in_force` is what is done there now, and who says so: the nearest on the way "
    "from headquarters (your merchant's id) through its areas to the store, or who has locked it "
    "above. Where nobody says anything all is open.",
    answers={200: Policy},
    errors=(reasons.STORE_NOT_ALLOWED,),
    example_path=EXAMPLE,
)
CHANGE = Route(
    method="POST",
    path="/v1/policies/{node_id}",
    operation_id="change_policy",
    tag=TAG,
    scope="policies:write",
    summary="Say what stores may do",
    description="All that the place says, in place of what it said. It holds from the answer on: "
    "at the place itself or for all that is below, where nobody nearer says otherwise. What is "
    "`locked` can't be said otherwise below; send what was said there as it is, and it holds again "
    "once it is unlocked. At a store headquarters alone locks. "
    "Refunds and voids go on whatever is switched off: people get back what is theirs.",
    body=PolicyChange,
    answers={201: Policy},
    errors=(
        reasons.MERCHANT_SUSPENDED,
        reasons.STORE_NOT_ALLOWED,
        operations.POLICY_REFUSED,
        operations.POLICY_MOVED,
        APPROVAL_REQUIRED,
    ),
    example_path=EXAMPLE,
    example_body={
        "version": 0,
        "rules": {"redemptions": {"value": True}, "top_up_max": {"value": 500_000}},
    },
)

HANDLERS = [
    handler(BROWSE, operations.browse),
    handler(READ, operations.read),
    handler(CHANGE, operations.change),
]
