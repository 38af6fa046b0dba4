"""Stores over HTTP."""

from schemas.areas import Move
from schemas.stores import Store, StoreCreate, StoreList
from service.areas.operations import NODE_MOVED
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons
from service.stores import operations

TAG = "Organisation"
PATH = "/v1/stores/{store_id}"
EXAMPLE = {"store_id": example_id("sto")}

CREATE = Route(
    method="POST",
    path="/v1/stores",
    operation_id="create_store",
    tag=TAG,
    scope="stores:write",
    summary="Make a store",
    description="Where cards are sold and redeemed. `code` is what you call it: a store that is "
    "just so already is answered as it is (200), so send it again after a time-out. A franchisee's "
    "store has a `contract`: what it doesn't name, neither its people nor its tills may do.",
    body=StoreCreate,
    answers={201: Store, 200: Store},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, operations.STORE_EXISTS),
    example_body={
        "code": "SH-0417",
        "name": "人民广场店",
        "legal_entity": "星河美发管理有限公司",
        "time_zone": "Asia/Shanghai",
        "day_cutoff": "04:00",
    },
)
LIST = Route(
    method="GET",
    path="/v1/stores",
    operation_id="list_stores",
    tag=TAG,
    scope="stores:read",
    summary="List stores",
    description="In the order they were made: all of them, or those you are responsible for.",
    query=Paging,
    answers={200: StoreList},
    errors=(),
)
READ = Route(
    method="GET",
    path=PATH,
    operation_id="get_store",
    tag=TAG,
    scope="stores:read",
    summary="Look at a store",
    description="Its place in the tree, its hours and its contract.",
    answers={200: Store},
    errors=(reasons.STORE_NOT_ALLOWED,),
    example_path=EXAMPLE,
)
MOVE = Route(
    method="POST",
    path=f"{PATH}/move",
    operation_id="move_store",
    tag=TAG,
    scope="stores:write",
    summary="Move a store",
    description="Into another area, or directly under headquarters. Who is responsible for the "
    "area is so for the store from the answer on. Where it was before is kept.",
    body=Move,
    answers={200: Store},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, NODE_MOVED),
    example_path=EXAMPLE,
    example_body={"parent_id": None, "from_parent_id": None},
)

HANDLERS = [
    handler(CREATE, operations.open_store),
    handler(LIST, operations.browse),
    handler(READ, operations.read),
    handler(MOVE, operations.move),
]
