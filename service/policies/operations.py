"""The story of policies: what stores may do is said at headquarters, in areas and at stores.

Whoever is nearer says it, unless somebody above has locked it (S3-16). Each change raises the
epoch: a store that is switched off takes no card after the answer.
"""

from schemas.common import Id
from schemas.policies import OwnRules, Policy, PolicyChange, PolicyList, PolicyRules
from service.approvals import operations as approvals
from service.approvals.operations import Ask
from service.audit import operations as audit
from service.kernel.ids import is_id
from service.kernel.paging import decode_cursor, page
from service.kernel.permissions import ROLES
from service.kernel.problems import NOT_FOUND, ProblemError, define
from service.kernel.routes import Answer, Call, json_answer
from service.ledger.reading import Reading, configuring, reading
from service.ledger.reasons import STORE_NOT_ALLOWED
from service.policies import store
from service.rules import policies
from service.stores import operations as stores

POLICY_REFUSED = define(
    "policy_refused",
    409,
    "This can't be said there now",
    "Nothing has changed. See reasons.",
)
POLICY_MOVED = define(
    "policy_moved",
    409,
    "The rules aren't those you saw",
    "Somebody changed them meanwhile. Look at them, then decide again.",
)


async def browse(call: Call, _: None) -> Answer:
    """The places that say something."""
    limit, after = call.query.limit, decode_cursor(call.query.cursor, Id) or ""
    async with reading(call) as tenant:
        found = await store.page(tenant, after, call.credential.limited_to(call.scope), limit + 1)
    return json_answer(200, PolicyList(*page(found, limit, lambda each: each.node_id)))


async def read(call: Call, _: None) -> Answer:
    """What a place says, and what holds there."""
    async with reading(call) as tenant:
        node_id = await _place(call, tenant)
        way = await store.way(tenant, node_id)
    return json_answer(200, _policy(_own(way, node_id), _path(way)))


async def change(call: Call, body: PolicyChange) -> Answer:
    """Other rules of a place; somebody else agrees, where the merchant's rules want that."""
    async with configuring(call) as tenant:
        node_id = await _place(call, tenant)
        await _require_responsible(call, tenant, node_id)
        way = await store.way(tenant, node_id)
        now = _own(way, node_id)
        if now.version != body.version:
            raise ProblemError(POLICY_MOVED)
        store_id = node_id if is_id("sto", node_id) else None
        # What is locked at a store is held by headquarters: nobody but them could lock it there.
        is_held = store_id is not None and call.credential.limited_to(call.scope) is not None
        above = _path(way, but="" if is_held else node_id)
        if reasons := list(policies.locked(above, now.rules, body.rules)):
            raise ProblemError(POLICY_REFUSED, reasons=reasons)
        if is_held and policies.locks(body.rules) - policies.locks(now.rules):
            raise ProblemError(STORE_NOT_ALLOWED)
        ask = Ask("policy.change", body, node_id, store_id=store_id)
        await approvals.require(call, tenant, ask)
        changed = OwnRules(node_id, now.version + 1, body.rules)
        await store.insert(tenant, changed, call.credential.actor_id)
        before, after = now.rules, changed.rules
        await audit.record(call, tenant, "policy.changed", node_id, before=before, after=after)
    said = [*_path(way, but=node_id), (node_id, body.rules)]
    return json_answer(201, _policy(changed, said))


async def _place(call: Call, tenant: Reading) -> str:
    """The place of the path, where the caller may see it. Raises 404, and 403 at another store."""
    node_id, merchant_id = call.path["node_id"], tenant.merchant.merchant_id
    if is_id("sto", node_id):
        await stores.one(tenant, node_id)
        if not call.credential.acts_for(call.scope, node_id):
            raise ProblemError(STORE_NOT_ALLOWED)
    elif node_id != merchant_id and (
        not is_id("are", node_id) or not await store.is_area(tenant, node_id)
    ):
        raise ProblemError(NOT_FOUND)
    return node_id


async def _require_responsible(call: Call, tenant: Reading, node_id: str) -> None:
    """Raise 403 above stores, unless the caller has a role for it there or is headquarters."""
    if call.credential.limited_to(call.scope) is None or is_id("sto", node_id):
        return  # of a store it was looked after
    roles = [name for name, role in ROLES.items() if call.scope in role.permissions]
    if not await store.is_given(tenant, call.credential.actor_id, node_id, roles):
        raise ProblemError(STORE_NOT_ALLOWED)


def _policy(own: OwnRules, path: policies.Path) -> Policy:
    return Policy(own.node_id, own.version, own.rules, policies.in_force(path))


def _own(way: list[OwnRules], node_id: str) -> OwnRules:
    """What the place at the end of the way says itself."""
    return way[-1] if way and way[-1].node_id == node_id else OwnRules(node_id, 0, PolicyRules())


def _path(way: list[OwnRules], but: str = "") -> policies.Path:
    return [(said.node_id, said.rules) for said in way if said.node_id != but]
