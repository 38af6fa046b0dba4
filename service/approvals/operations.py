"""The story of a second pair of eyes: what rules ask for waits until others approve it.

    request ─► require ─► 403 approval_required ─► approve ─► the same request again ─► done

An approval is for one request to the last byte: `digest` covers what is asked for, the state it was
asked on and the rule it fell under. Whoever asked never decides, with none of their sessions and
keys; and an API key never decides at all (decision 0024, THREAT-T10).
"""

from datetime import timedelta
from hashlib import sha256
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from schemas.approvals import (
    Approval,
    ApprovalKind,
    ApprovalList,
    Authority,
    AuthorityChange,
    AuthorityRule,
    Decision,
)
from schemas.audit import Action
from schemas.common import Id, Till
from schemas.problems import Reason
from service.approvals import store
from service.audit import operations as audit
from service.kernel.ids import new_id
from service.kernel.paging import decode_cursor
from service.kernel.paging import page as page_of
from service.kernel.problems import ProblemError, because, define, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger import door
from service.ledger.reading import (
    KeptError,
    Reading,
    configuring,
    grants_of,
    own,
    reading,
    writing,
)
from service.ledger.reasons import STORE_UNKNOWN, UNPROCESSABLE
from service.rules import authority

AFTER_ALL = "apv_~"  # sorts after every id
GOOD_FOR = timedelta(days=1)

APPROVAL_REQUIRED = define(
    "approval_required",
    403,
    "Somebody else must approve this",
    "Nothing has happened yet. Have the approval that reasons name approved, then send the same "
    "request again, with the same key if it has one.",
    "same_key",
)
APPROVAL_REFUSED = define(
    "approval_refused",
    409,
    "You can't decide this",
    "Nothing has changed. See reasons.",
    is_told=True,
)
AUTHORITY_MOVED = define(
    "authority_moved",
    409,
    "The rules aren't as you saw them",
    "Somebody changed them meanwhile. Look at them, then decide again.",
)
APPROVAL_WAITS = define_reason(
    "approval_waits", "The approval in existing_id is decided by whoever has a role of `allowed`."
)
OWN_REQUEST = define_reason(
    "own_request", "You asked for it, or an API key of yours did. Somebody else decides."
)
ROLE_LACKING = define_reason("role_lacking", "Whoever decides this needs a role of `allowed`.")
APPROVAL_OVER = define_reason(
    "approval_over", "It isn't open any more. Whatever is asked for now has an approval of its own."
)
DIGEST_OTHER = define_reason(
    "digest_other", "This isn't the digest of what is asked for. Look at it again."
)
DECIDED_ALREADY = define_reason("decided_already", "You have decided it. Each person does so once.")
NOBODY_COULD = define_reason(
    "nobody_could_approve",
    "Whoever changes rules needs others with a role of `allowed` at headquarters. There are too "
    "few such people: no rule could be changed again.",
)


class Ask(Struct, frozen=True):
    """A request as somebody else must agree to it.

    `body` is what the people who decide see; `state` is what it was asked on; both must be the same
    when it is sent again. `store_id` None is the merchant's own office. `key_hash` is that of its
    idempotency key.
    """

    kind: ApprovalKind
    body: Any
    subject_id: str | None = None
    state: Any = None
    store_id: str | None = None
    amount: int = 0
    currency: str | None = None
    key_hash: bytes = b""
    makes_decider: bool = False


async def require(call: Call, tenant: Reading, ask: Ask, *, again: bool = False) -> None:
    """Let through what needs nobody else, and what was approved; that is used up then.

    Before anything is written. `again`: the very same request may come once more. Raises 403, and
    leaves what now waits for approval.
    """
    rules = (await store.authority(tenant)).rules
    rule = authority.asked(rules, ask.kind, makes_decider=ask.makes_decider)
    if rule is not None:
        await _through(call, tenant, ask, rule, again=again)


async def require_ahead(
    call: Call,
    kind: ApprovalKind,
    body: Any,
    subject_id: str,
    store_id: str | None,
    *,
    amount: int | None = None,
    till: Till | None = None,
) -> None:
    """As `require`, in a transaction of its own ahead of what the request does.

    So the very same request may come again. What has had its answer under its idempotency key gets
    it again, whatever the rules are now. `amount` None is all that is left.
    """
    if not call.credential.acts_for(call.scope, store_id):
        return  # what comes next says so
    keyed = bool(call.idempotency_key)
    key_hash = door.key_hash(call.state.door_keys, call.idempotency_key) if keyed else b""
    async with reading(call) as tenant:
        rules = (await store.authority(tenant)).rules
        if all(rule.kind != kind for rule in rules):
            return
        if keyed and await store.key_known(tenant, key_hash):
            return
    ask = Ask(kind, body, subject_id, None, store_id, key_hash=key_hash)
    async with writing(call) as tenant:
        if kind not in authority.MONEY_KINDS:
            await require(call, tenant, ask, again=True)
        else:
            await _require_for_money(call, tenant, ask, rules, amount, till)


async def _require_for_money(
    call: Call,
    tenant: Reading,
    ask: Ask,
    rules: list[AuthorityRule],
    amount: int | None,
    till: Till | None,
) -> None:
    assert ask.subject_id is not None
    subject = await store.subject(tenant, ask.subject_id)
    if subject is None:
        return  # the ledger tells
    at_once = subject.amount if amount is None else min(amount, subject.amount)
    employee, today, day = _employee(call, till), None, (0, 0)
    if ask.store_id is not None and authority.by_day(rules, ask.kind):
        today = await store.today(tenant, ask.store_id)
        await store.in_turn(tenant, employee, ask.kind)
        day = await store.day_of(tenant, employee, ask.kind, today, ask.key_hash)
    rule = authority.asked(rules, ask.kind, at_once, day)
    if rule is not None:
        money = {"amount": at_once, "currency": subject.currency, "state": subject.version}
        await _through(call, tenant, msgspec.structs.replace(ask, **money), rule, again=True)
    elif today is not None:
        await store.note_use(tenant, employee, ask.kind, today, ask.key_hash, at_once)


def _employee(call: Call, till: Till | None) -> str:
    """Whose day it counts in: the person, or at a till whom it names."""
    credential = call.credential
    operator = till.operator if till is not None else None
    return credential.user_id or f"{credential.api_key_id}:{operator or ''}"


async def _through(
    call: Call, tenant: Reading, ask: Ask, rule: AuthorityRule, *, again: bool
) -> None:
    """Use what was approved, or wait for it. Raises 403.

    `again`: it may have been let through before.
    """
    actor = audit.actor_of(call)
    responsible_id = actor.id if actor.kind == "user" else await store.responsible(tenant, actor.id)
    await store.in_turn(tenant, responsible_id, "asks")
    request = msgspec.to_builtins({"path": call.path, "body": ask.body})
    digest = _digest(call, ask, rule, request)
    found = await store.waiting(tenant, responsible_id, digest)
    if found is not None and found.is_late:
        await store.close(tenant, found.id, "expired")
        found = None
    if found is not None and found.status == "approved":
        await store.close(tenant, found.id, "used")
        await audit.record(call, tenant, "approval.used", found.id)
        return
    if found is None and again and await store.was_used(tenant, responsible_id, digest):
        return
    approval_id = found.id if found is not None else new_id("apv")
    if found is None:
        if ask.subject_id is not None:
            await store.supersede(tenant, responsible_id, ask.kind, ask.subject_id)
        await _open(
            tenant,
            *(approval_id, ask.kind, responsible_id, actor.kind, actor.id, actor.session_id),
            *(
                ask.store_id,
                ask.subject_id,
                ask.amount or None,
                ask.currency if ask.amount else None,
            ),
            msgspec.json.encode(request).decode("utf-8"),
            *(digest, rule.approvers, rule.roles, GOOD_FOR.total_seconds()),
        )
        await audit.record(call, tenant, "approval.opened", approval_id, after={"kind": ask.kind})
    reason = because(APPROVAL_WAITS, existing_id=approval_id, allowed=list(rule.roles))
    raise KeptError(APPROVAL_REQUIRED, reasons=[reason])


async def _open(tenant: Reading, *columns: object) -> None:
    """One more that waits. Raises 422 where it is about a store that isn't there."""
    try:
        await store.open_one(tenant, *columns)
    except asyncpg.ForeignKeyViolationError:
        raise ProblemError(UNPROCESSABLE, reasons=[because(STORE_UNKNOWN)]) from None


def _digest(call: Call, ask: Ask, rule: AuthorityRule, request: Any) -> bytes:
    """Of everything that is asked for, on what state, and who must agree."""
    facts = [
        *(call.route, ask.kind, ask.subject_id, ask.state, ask.store_id, ask.amount, ask.currency),
        *(ask.key_hash.hex(), rule.approvers, sorted(rule.roles), request),
    ]
    return sha256(msgspec.json.encode(facts, order="sorted")).digest()


async def approve(call: Call, body: Decision) -> Answer:
    """Yes, to exactly what was seen."""
    return await _decide(call, body, approved=True)


async def reject(call: Call, body: Decision) -> Answer:
    """No; from whoever asked: never mind."""
    return await _decide(call, body, approved=False)


async def _decide(call: Call, body: Decision, *, approved: bool) -> Answer:
    approval_id, credential = object_id(call, "approval_id", "apv"), call.credential
    user_id, session_id = credential.user_id, credential.session_id
    assert user_id is not None
    assert session_id is not None
    async with writing(call) as tenant:
        responsible_id = await store.held(tenant, approval_id)
        found = own(call, await _one(tenant, approval_id))
        assert responsible_id is not None
        said = next((one for one in found.decisions if one.user_id == user_id), None)
        if said is not None and said.approved == approved:
            return json_answer(200, found)
        withdrawn = user_id == responsible_id and not approved
        reasons = _why_not(found, body.digest, withdrawn=withdrawn, decided=said is not None)
        if not withdrawn:
            reasons += await _who_not(tenant, found, user_id, responsible_id)
        if reasons:
            raise ProblemError(APPROVAL_REFUSED, reasons=reasons)
        if withdrawn:
            await store.close(tenant, approval_id, "withdrawn")
            await audit.record(call, tenant, "approval.withdrawn", approval_id, reason=body.note)
        else:
            await store.decide(
                *(tenant, approval_id, user_id, responsible_id, session_id, body.note),
                approved=approved,
            )
            action: Action = "approval.approved" if approved else "approval.rejected"
            after = {"digest": found.digest}
            await audit.record(call, tenant, action, approval_id, reason=body.note, after=after)
        return json_answer(200, await _one(tenant, approval_id))


def _why_not(found: Approval, digest: str, *, withdrawn: bool, decided: bool) -> list[Reason]:
    """What stands against any decision, or against this one."""
    open_ones = ("open", "approved") if withdrawn else ("open",)
    return [
        *([because(APPROVAL_OVER)] if found.status not in open_ones else []),
        *([because(DECIDED_ALREADY)] if decided else []),
        *([because(DIGEST_OTHER, path="$.digest")] if digest != found.digest else []),
    ]


async def _who_not(
    tenant: Reading, found: Approval, user_id: str, responsible_id: str
) -> list[Reason]:
    """What stands against this person deciding it."""
    if user_id == responsible_id:
        return [because(OWN_REQUEST)]
    grants = await grants_of(tenant, user_id)
    if any(
        grant.role in found.roles and (grant.stores is None or found.store_id in grant.stores)
        for grant in grants
    ):
        return []
    return [because(ROLE_LACKING, allowed=found.roles)]


async def read(call: Call, _: None) -> Answer:
    """One of them."""
    approval_id = object_id(call, "approval_id", "apv")
    async with reading(call) as tenant:
        return json_answer(200, own(call, await _one(tenant, approval_id)))


async def browse(call: Call, _: None) -> Answer:
    """Those that the caller may see, newest first."""
    query = call.query
    before = decode_cursor(query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        stores = call.credential.limited_to(call.scope)
        found = await store.page(tenant, before, stores, query.status, query.limit + 1)
    return json_answer(200, ApprovalList(*page_of(found, query.limit, lambda one: one.id)))


async def read_authority(call: Call, _: None) -> Answer:
    """The rules as they are now."""
    async with reading(call) as tenant:
        return json_answer(200, await store.authority(tenant))


async def change_authority(call: Call, body: AuthorityChange) -> Answer:
    """Other rules; somebody else agrees, once there are any."""
    async with configuring(call) as tenant:
        now = await store.authority(tenant)
        if now.version != body.version:
            raise ProblemError(AUTHORITY_MOVED)
        reasons = list(authority.unsound(body.rules))
        floor: list[str] = [*authority.FLOOR]
        ruling = authority.asked(body.rules, "authority.change")
        if ruling is not None and await store.rulers(tenant, floor) <= ruling.approvers:
            reasons.append(because(NOBODY_COULD, path="$.rules", allowed=floor))
        if reasons:
            raise ProblemError(UNPROCESSABLE, reasons=reasons)
        await require(call, tenant, Ask("authority.change", body))
        changed = Authority(now.version + 1, body.rules)
        await store.set_authority(tenant, changed, call.credential.actor_id)
        await audit.record(call, tenant, "authority.changed", None, before=now, after=changed)
    return json_answer(201, changed)


async def _one(tenant: Reading, approval_id: str) -> Approval | None:
    found = await store.page(tenant, AFTER_ALL, None, None, 1, approval_id)
    return found[0] if found else None
