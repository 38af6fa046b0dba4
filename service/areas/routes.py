"""Areas over HTTP."""

from schemas.areas import Area, AreaCreate, AreaList, Move
from service.areas import operations
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.routes import Route
from service.ledger import reasons

TAG = "Organisation"

CREATE = Route(
    method="POST",
    path="/v1/areas",
    operation_id="create_area",
    tag=TAG,
    scope="stores:write",
    summary="Make an area",
    description="A part of the chain that somebody is responsible for. Areas can be within areas, "
    "three deep. One that is just so already is answered as it is (200).",
    body=AreaCreate,
    answers={201: Area, 200: Area},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, operations.AREA_EXISTS),
    example_body={"name": "华东"},
)
LIST = Route(
    method="GET",
    path="/v1/areas",
    operation_id="list_areas",
    tag=TAG,
    scope="stores:read",
    summary="List areas",
    description="All of them, in the order they were made.",
    answers={200: AreaList},
    errors=(),
)
MOVE = Route(
    method="POST",
    path="/v1/areas/{area_id}/move",
    operation_id="move_area",
    tag=TAG,
    scope="stores:write",
    summary="Move an area",
    description="With all that is in it. Who is responsible for an area is so for what is in it "
    "from the answer on. Where it was before is kept.",
    body=Move,
    answers={200: Area},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, operations.NODE_MOVED),
    example_path={"area_id": example_id("are")},
    example_body={"parent_id": None, "from_parent_id": None},
)

HANDLERS = [
    handler(CREATE, operations.create),
    handler(LIST, operations.browse),
    handler(MOVE, operations.move),
]
