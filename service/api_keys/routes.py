"""API keys over HTTP."""

from schemas.api_keys import ApiKey, ApiKeyCreate, ApiKeyList, ApiKeyMade, ApiKeyRotate
from service.api_keys import desk
from service.approvals.operations import APPROVAL_REQUIRED
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons

TAG = "API keys"
PATH = "/v1/api-keys/{api_key_id}"
EXAMPLE = {"api_key_id": example_id("key")}

CREATE = Route(
    method="POST",
    path="/v1/api-keys",
    operation_id="create_api_key",
    tag=TAG,
    scope="keys:write",
    summary="Make an API key",
    description="Its text is in this answer only. It may do what you may yourself, and what only "
    "keys may; a test tenant's key may do anything that keys may. If the answer is lost, revoke "
    "the key that the list shows, and make another.",
    body=ApiKeyCreate,
    answers={201: ApiKeyMade},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, APPROVAL_REQUIRED),
    example_body={
        "name": "Till 12",
        "scopes": ["cards:read", "redemptions:read", "redemptions:write"],
        "store_id": example_id("sto"),
    },
)
LIST = Route(
    method="GET",
    path="/v1/api-keys",
    operation_id="list_api_keys",
    tag=TAG,
    scope="keys:read",
    summary="List API keys",
    description="Newest first, also those that are over.",
    query=Paging,
    answers={200: ApiKeyList},
    errors=(),
)
ROTATE = Route(
    method="POST",
    path=f"{PATH}/rotate",
    operation_id="rotate_api_key",
    tag=TAG,
    scope="keys:write",
    summary="Put a key in place of another",
    description="The new one may do what the old one may, and the old one is good for a while "
    "still, so that nothing stands still while it is exchanged.",
    body=ApiKeyRotate,
    answers={201: ApiKeyMade},
    errors=(
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
        desk.KEY_OVER,
        APPROVAL_REQUIRED,
    ),
    example_path=EXAMPLE,
    example_body={"overlap_s": 86_400},
)
REVOKE = Route(
    method="POST",
    path=f"{PATH}/revoke",
    operation_id="revoke_api_key",
    tag=TAG,
    scope="keys:write",
    summary="End an API key",
    description="Nothing that is sent with it after the answer is accepted, nor with a member's "
    "token that was issued with it. It takes no body.",
    answers={200: ApiKey},
    errors=(reasons.MERCHANT_SUSPENDED,),
    example_path=EXAMPLE,
)

HANDLERS = [
    handler(CREATE, desk.make),
    handler(LIST, desk.browse),
    handler(ROTATE, desk.rotate),
    handler(REVOKE, desk.end),
]
