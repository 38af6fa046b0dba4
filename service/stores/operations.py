"""Stores of a merchant: each has a time zone, a legal entity, a day cut-off and its place."""

from datetime import time

from msgspec import structs

from schemas.areas import Move
from schemas.common import Id
from schemas.problems import Reason
from schemas.stores import Store, StoreCreate, StoreList
from service.areas import operations as areas
from service.audit import operations as audit
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.paging import decode_cursor
from service.kernel.paging import page as page_of
from service.kernel.permissions import PERMISSIONS
from service.kernel.problems import NOT_FOUND, ProblemError, because, define, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger.reading import Reading, configuring, reading
from service.ledger.reasons import STORE_NOT_ALLOWED, UNPROCESSABLE
from service.rules.periods import zone
from service.stores import store
from service.stores.store import StoreCreated

STORE_EXISTS = define(
    "store_exists",
    409,
    "There is another store of this code",
    "Nothing has changed. Go on with the store that reasons name, or give another code.",
)
CODE_TAKEN = define_reason("code_taken", "The store in existing_id has this code.")
TIME_ZONE_UNKNOWN = define_reason("time_zone_unknown", "Use an IANA name as Asia/Shanghai.")
PERMISSION_UNKNOWN = define_reason(
    "permission_unknown", "There is no such permission; `allowed` names those there are."
)


async def create(
    pool: database.Pool,
    merchant_id: str,
    name: str,
    legal_entity: str,
    time_zone: str,
    day_cutoff: time,
) -> StoreCreated:
    """A new store on the command line. Raises ValueError for an unknown zone or merchant."""
    zone(time_zone)
    store_id = new_id("sto")
    made = StoreCreated(merchant_id, store_id, name, legal_entity, time_zone, day_cutoff)
    async with database.tenant(pool, merchant_id) as connection:
        await database.require_merchant(connection, merchant_id)
        await store.insert(connection, made)
        await audit.record_operator(connection, merchant_id, "store.created", store_id, after=made)
    return made


async def open_store(call: Call, body: StoreCreate) -> Answer:
    """A new store, or the one that is just so."""
    reasons = _contradictions(body)
    if reasons:
        raise ProblemError(UNPROCESSABLE, reasons=reasons)
    store_id, merchant_id = new_id("sto"), call.credential.merchant_id
    cutoff = time.fromisoformat(body.day_cutoff)
    made = StoreCreated(merchant_id, store_id, body.name, body.legal_entity, body.time_zone, cutoff)
    async with configuring(call) as tenant:
        if not await store.insert(tenant.connection, made, body.code, body.contract):
            return json_answer(200, await _same(tenant, body))
        await areas.place(tenant, store_id, body.parent_id)
        await audit.record(call, tenant, "store.created", store_id, after=body)
        opened = await store.by_id(tenant, store_id)
    return json_answer(201, opened)


async def browse(call: Call, _: None) -> Answer:
    """Stores in the order they were made: all, or those that the caller is responsible for."""
    limit, after = call.query.limit, decode_cursor(call.query.cursor, Id) or ""
    async with reading(call) as tenant:
        found = await store.page(tenant, after, call.credential.limited_to(call.scope), limit + 1)
    return json_answer(200, StoreList(*page_of(found, limit, lambda each: each.id)))


async def read(call: Call, _: None) -> Answer:
    """A store by id."""
    store_id = object_id(call, "store_id", "sto")
    async with reading(call) as tenant:
        found = await one(tenant, store_id)
    if not call.credential.acts_for(call.scope, store_id):
        raise ProblemError(STORE_NOT_ALLOWED)
    return json_answer(200, found)


async def move(call: Call, body: Move) -> Answer:
    """Another place in the tree."""
    store_id = object_id(call, "store_id", "sto")
    async with configuring(call) as tenant:
        found = await one(tenant, store_id)
        if await areas.move_to(tenant, store_id, found.parent_id, body):
            before = {"parent_id": body.from_parent_id}
            after = {"parent_id": body.parent_id}
            await audit.record(call, tenant, "store.moved", store_id, before=before, after=after)
        moved = await store.by_id(tenant, store_id)
    return json_answer(200, moved)


async def one(tenant: Reading, store_id: str) -> Store:
    """A store by id. Raises 404."""
    found = await store.by_id(tenant, store_id)
    if found is None:
        raise ProblemError(NOT_FOUND)
    return found


def _contradictions(body: StoreCreate) -> list[Reason]:
    """What can't be, all at once."""
    reasons = []
    try:
        zone(body.time_zone)
    except ValueError:
        reasons.append(because(TIME_ZONE_UNKNOWN, path="$.time_zone"))
    for place, name in enumerate(body.contract or ()):
        if name not in PERMISSIONS:
            path = f"$.contract[{place}]"
            reasons.append(because(PERMISSION_UNKNOWN, path=path, allowed=[*PERMISSIONS]))
    return reasons


async def _same(tenant: Reading, body: StoreCreate) -> Store:
    """The store of this code, if it is just so. Raises 409."""
    known = await store.by_code(tenant, body.code)
    asked = structs.asdict(body) | {"day_cutoff": time.fromisoformat(body.day_cutoff)}
    if any(getattr(known, name) != value for name, value in asked.items()):
        reason = because(CODE_TAKEN, path="$.code", existing_id=known.id)
        raise ProblemError(STORE_EXISTS, reasons=[reason])
    return known
