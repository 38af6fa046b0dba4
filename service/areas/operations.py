"""The story of the tree: areas are made and moved, stores are placed in them.

Who is responsible for an area is so for what is in it now: the epoch is raised with each change.
"""

from schemas.areas import Area, AreaCreate, AreaList, Move
from service.areas import rules, store
from service.audit import operations as audit
from service.kernel.ids import new_id
from service.kernel.problems import NOT_FOUND, ProblemError, because, define, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger.reading import Reading, configuring, reading
from service.ledger.reasons import UNPROCESSABLE

AREA_EXISTS = define(
    "area_exists",
    409,
    "There is another area of this name",
    "Nothing has changed. Go on with the area that reasons name, or give another name.",
)
NODE_MOVED = define(
    "node_moved",
    409,
    "It isn't where you saw it",
    "Somebody moved it meanwhile. Look at it, then decide again.",
)
NAME_TAKEN = define_reason("name_taken", "The area in existing_id has this name.")
TOO_MANY_AREAS = define_reason("too_many_areas", f"A merchant may have {rules.AREAS_MAX} areas.")


async def create(call: Call, body: AreaCreate) -> Answer:
    """A new area, or the one that is just so."""
    async with configuring(call) as tenant:
        areas = await store.areas(tenant)
        same = next((area for area in areas if area.name == body.name), None)
        if same is not None:
            if same.parent_id != body.parent_id:
                reason = because(NAME_TAKEN, path="$.name", existing_id=same.id)
                raise ProblemError(AREA_EXISTS, reasons=[reason])
            return json_answer(200, same)
        if len(areas) >= rules.AREAS_MAX:
            raise ProblemError(UNPROCESSABLE, reasons=[because(TOO_MANY_AREAS)])
        area_id = new_id("are")
        parents: dict[str, str | None] = {area.id: area.parent_id for area in areas}
        _require(parents | {area_id: None}, area_id, body.parent_id)
        await store.insert(tenant, area_id, body.name)
        await store.place(tenant, new_id("plc"), area_id, body.parent_id)
        await audit.record(call, tenant, "area.created", area_id, after=body)
        made = await _area(tenant, area_id)
    return json_answer(201, made)


async def browse(call: Call, _: None) -> Answer:
    """The whole tree of areas."""
    async with reading(call) as tenant:
        return json_answer(200, AreaList(await store.areas(tenant)))


async def move(call: Call, body: Move) -> Answer:
    """Another place for an area, with all that is in it."""
    area_id = object_id(call, "area_id", "are")
    async with configuring(call) as tenant:
        areas = {area.id: area for area in await store.areas(tenant)}
        if area_id not in areas:
            raise ProblemError(NOT_FOUND)
        if await move_to(tenant, area_id, areas[area_id].parent_id, body):
            before = {"parent_id": body.from_parent_id}
            after = {"parent_id": body.parent_id}
            await audit.record(call, tenant, "area.moved", area_id, before=before, after=after)
        moved = await _area(tenant, area_id)
    return json_answer(200, moved)


async def move_to(tenant: Reading, node_id: str, parent_id: str | None, body: Move) -> bool:
    """Whether an area or a store had to be moved. Raises 409 when it isn't where it was seen."""
    if parent_id == body.parent_id:
        return False
    if parent_id != body.from_parent_id:
        raise ProblemError(NODE_MOVED)
    await place(tenant, node_id, body.parent_id)
    return True


async def place(tenant: Reading, node_id: str, parent_id: str | None) -> None:
    """Put an area or a store where it belongs. Raises 422 where it can't be."""
    parents = {area.id: area.parent_id for area in await store.areas(tenant)}
    _require(parents, node_id if node_id in parents else None, parent_id)
    await store.place(tenant, new_id("plc"), node_id, parent_id)


def _require(parents: rules.Parents, area_id: str | None, parent_id: str | None) -> None:
    reason = rules.why_not(parents, area_id, parent_id)
    if reason is not None:
        raise ProblemError(UNPROCESSABLE, reasons=[reason])


async def _area(tenant: Reading, area_id: str) -> Area:
    return next(area for area in await store.areas(tenant) if area.id == area_id)
