"""The story of what is personal: sealed as it comes, shown for a purpose, copied, held, erased.

Whoever looks is written down first, and how often anybody
looks is limited; what is destroyed is destroyed before the transaction that says so commits.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from msgspec import Struct

from schemas.audit import Action
from schemas.common import Id
from schemas.members import NameChange
from schemas.personal import (
    Erase,
    Erasure,
    LegalHoldList,
    LegalHoldPlace,
    SubjectAccess,
    SubjectCopy,
    Unmask,
    Unmasked,
)
from service.audit import operations as audit
from service.kernel.ids import new_id
from service.kernel.keks import KekMissingError
from service.kernel.key_store import KeyStoreError
from service.kernel.keyring import Keyring, PersonKey
from service.kernel.paging import decode_cursor
from service.kernel.paging import page as page_of
from service.kernel.problems import (
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    because,
    define,
    define_reason,
)
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger.reading import Reading, reading, writing
from service.ledger.reasons import UNPROCESSABLE
from service.personal import forgetting, rules, store
from service.personal.rules import Kept
from service.personal.store import Held
from service.rules import persons

AFTER_ALL = "lgh_~"  # sorts after every id
# How many people somebody may look at in an hour; a copy for the person counts as a look.
UNMASKED_MAX, UNMASKED_WITHIN_S = 30, 3_600.0
# How long one waits for a turn at the store of keys, and how long the store may take in the end.
TURN_S, TELL_S = 1.0, 0.8

PERSON_REFUSED = define(
    "person_refused",
    409,
    "This can't be done with what is known of the member",
    "Nothing has changed. See reasons.",
)
UNMASKED_TOO_OFTEN = define(
    "unmasked_too_often",
    429,
    "You have looked at too many people",
    f"Nothing was shown. {UNMASKED_MAX} an hour are yours; wait, or ask somebody else who may.",
)
MEMBER_CHANGED = define_reason(
    "member_changed", "Somebody changed the member meanwhile. Look at them, then decide again."
)
MEMBER_RESTRICTED = define_reason(
    "member_restricted", "They asked to be erased; what is known is stored and used for no more."
)
MEMBER_ERASED = define_reason("member_erased", "Nothing is known of them any more.")
UNREADABLE = define_reason(
    "unreadable",
    "What is stored doesn't open: it was sealed for somebody else or was changed, or its key is "
    "gone. Call whoever runs the system.",
)
CARDS_HAVE_VALUE = define_reason(
    "cards_have_value",
    "The cards in `allowed` are theirs, with value on them. Let them be used up or refunded, or "
    "unbind those that aren't in a name.",
)
NAME_INVALID = define_reason("name_invalid", "Send the name alone, without control characters.")


class SealedFields(Struct, frozen=True):
    """What is personal, sealed, and of a name what a screen shows; all None: there is nothing."""

    phone_sealed: bytes | None = None
    name_sealed: bytes | None = None
    masked_name: str | None = None
    key_no: int | None = None


async def change_name(call: Call, body: NameChange) -> Answer:
    """Another name, unless somebody changed the member meanwhile; the one they have stays."""
    member_id, name = object_id(call, "member_id", "mbr"), checked_name(body.full_name)
    async with turn(call), writing(call) as tenant:
        held = await active_member(tenant, member_id)
        key = await key_of(call, held)
        known = opened(key, "full_name", held.name_sealed)
        if known != name:
            if held.version != body.version:
                raise ProblemError(PERSON_REFUSED, reasons=[because(MEMBER_CHANGED)])
            new = sealed(key, None, name)
            await store.set_name(tenant, member_id, new.name_sealed, new.masked_name, new.key_no)
            before, after = committed(key, full_name=known), committed(key, full_name=name)
            await audit.record(
                call, tenant, "member.name_changed", member_id, before=before, after=after
            )
        return json_answer(200, (await _held(tenant, member_id)).shown())


async def unmask(call: Call, body: Unmask) -> Answer:
    """What is known of somebody, to whoever says what for, and not too often."""
    member_id = object_id(call, "member_id", "mbr")
    async with turn(call), writing(call, also_suspended=True) as tenant:
        held = _not_erased(await _held(tenant, member_id))
        if held.status == "restricted" and body.purpose not in rules.PURPOSES_OF_RESTRICTED:
            raise ProblemError(PERSON_REFUSED, reasons=[because(MEMBER_RESTRICTED)])
        why, fields = f"{body.purpose}: {body.note}", {"fields": sorted(set(body.fields))}
        known = await _looked_at(call, tenant, held, "member.unmasked", why, fields)
    shown = {name: known[name] if name in body.fields else None for name in known}
    return json_answer(200, Unmasked(member_id, **shown))


async def copy(call: Call, body: SubjectAccess) -> Answer:
    """All that is known of somebody, for themselves."""
    member_id = object_id(call, "member_id", "mbr")
    async with turn(call), writing(call, also_suspended=True) as tenant:
        held = _not_erased(await _held(tenant, member_id))
        bindings = await store.bindings(tenant, member_id)
        told = await store.disclosures(tenant, member_id)
        known = await _looked_at(call, tenant, held, "member.subject_access", body.note)
    return json_answer(
        200, SubjectCopy(held.shown(), known["full_name"], known["phone"], bindings, told)
    )


async def erase(call: Call, body: Erase) -> Answer:
    """Nothing more is known of somebody; or it is only stored, while the law wants it kept.

    Their key is destroyed last, before the transaction commits: where it doesn't after all, they
    are unreadable, and asking again finishes it.
    """
    member_id = object_id(call, "member_id", "mbr")
    async with turn(call), writing(call, also_suspended=True) as tenant:
        held, kept = await _held(tenant, member_id), Kept([], None)
        if held.status == "active" and held.version != body.version:
            raise ProblemError(PERSON_REFUSED, reasons=[because(MEMBER_CHANGED)])
        if held.status != "erased":
            with _within_reach():  # or others would wait for the locks of what is given up then
                await call.state.keyring.store_id()
            kept = await _settled(call, tenant, member_id)
            action: Action = "member.restricted" if kept.reasons else "member.erased"
            if held.status == "active" or not kept.reasons:
                after = {"kept_for": kept.reasons}
                await audit.record(call, tenant, action, member_id, reason=body.note, after=after)
            await _tell_store(call, member_id, is_erased=not kept.reasons)
        member = (await _held(tenant, member_id)).shown()
    return json_answer(200, Erasure(member, kept.reasons, kept.until))


async def place_hold(call: Call, body: LegalHoldPlace) -> Answer:
    """From now on nothing of somebody is erased."""
    member_id = object_id(call, "member_id", "mbr")
    async with writing(call, also_suspended=True) as tenant:
        _not_erased(await _held(tenant, member_id))
        hold_id, actor_id = new_id("lgh"), call.credential.actor_id
        await store.place_hold(tenant, hold_id, member_id, body.reason, actor_id)
        await audit.record(call, tenant, "legal_hold.placed", member_id, reason=body.reason)
        return json_answer(201, await store.hold(tenant, member_id, hold_id))


async def release_hold(call: Call, _: None) -> Answer:
    """A hold is over; one that is over stays as it is."""
    member_id = object_id(call, "member_id", "mbr")
    hold_id = object_id(call, "legal_hold_id", "lgh")
    async with writing(call, also_suspended=True) as tenant:
        await _held(tenant, member_id)
        hold = await store.hold(tenant, member_id, hold_id)
        if hold is None:
            raise ProblemError(NOT_FOUND)
        if hold.released_at is None:
            await store.release_hold(tenant, member_id, hold_id, call.credential.actor_id)
            await audit.record(call, tenant, "legal_hold.released", member_id)
        return json_answer(200, await store.hold(tenant, member_id, hold_id))


async def holds(call: Call, _: None) -> Answer:
    """A member's holds, newest first."""
    limit, before = call.query.limit, decode_cursor(call.query.cursor, Id) or AFTER_ALL
    member_id = object_id(call, "member_id", "mbr")
    async with reading(call) as tenant:
        if not await store.is_known(tenant, member_id):
            raise ProblemError(NOT_FOUND)
        found = await store.holds(tenant, member_id, before, limit + 1)
    return json_answer(200, LegalHoldList(*page_of(found, limit, lambda hold: hold.id)))


def checked_name(text: str | None) -> str | None:
    """A name in one form. Raises 422 for what is none."""
    try:
        return None if text is None else persons.person_name(text)
    except ValueError:
        raise ProblemError(
            UNPROCESSABLE, reasons=[because(NAME_INVALID, path="$.full_name")]
        ) from None


async def active_member(tenant: Reading, member_id: str) -> Held:
    """A member whom nobody changes meanwhile.

    Raises 404, and 409 where they want to be forgotten.
    """
    held = _not_erased(await _held(tenant, member_id))
    if held.status == "restricted":
        raise ProblemError(PERSON_REFUSED, reasons=[because(MEMBER_RESTRICTED)])
    return held


@asynccontextmanager
async def turn(call: Call) -> AsyncIterator[None]:
    """Few ask for keys at once: each holds a connection, and the store may be slow. Raises 503."""
    turns = call.state.keyring.turns
    try:
        async with asyncio.timeout(TURN_S):
            await turns.acquire()
    except TimeoutError:
        raise _out_of_reach() from None
    try:
        yield
    finally:
        turns.release()


async def key_of(call: Call, held: Held) -> PersonKey:
    """The key that seals what is personal of a member, made if there is none yet.

    Raises 409 where it is gone, and 503.
    """
    return await new_key(call, held.member_id) if held.key_no is None else await _kept(call, held)


async def new_key(call: Call, member_id: str) -> PersonKey:
    """A key for somebody of whom nothing is sealed yet. Raises 503."""
    with _within_reach():
        made: PersonKey = await call.state.keyring.make(call.credential.merchant_id, member_id)
    return made


async def drop_key(call: Call, member_id: str) -> None:
    """Somebody didn't become known after all."""
    with _within_reach():
        await call.state.keyring.drop(call.credential.merchant_id, member_id)


def sealed(key: PersonKey | None, phone: str | None, name: str | None = None) -> SealedFields:
    """The phone and the name of somebody under their key; None: there is nothing to seal."""
    if key is None:
        return SealedFields()
    return SealedFields(
        None if phone is None else key.seal("phone", phone),
        None if name is None else key.seal("full_name", name),
        None if name is None else persons.masked_name(name),
        key.key_no,
    )


def committed(key: PersonKey, **fields: str | None) -> dict[str, str]:
    """What the audit trail says of fields: nothing to read, and proof for who has the key."""
    return {name: key.commitment(name, text) for name, text in fields.items() if text is not None}


def opened(key: PersonKey, field: str, sealed: bytes | None) -> str | None:
    """A field that may not be there. Raises 409 where it isn't what was sealed there."""
    try:
        return None if sealed is None else key.unseal(field, sealed)
    except ValueError:
        raise ProblemError(PERSON_REFUSED, reasons=[because(UNREADABLE)]) from None


def known_of(index_key: bytes, held: Held, key: PersonKey | None) -> dict[str, str | None]:
    """What is sealed of a member. Raises 409 where it doesn't open.

    A phone whose index isn't theirs any more was changed by a version that seals none.
    """
    if key is None:
        return {"full_name": None, "phone": None}
    phone = opened(key, "phone", held.phone_sealed)
    if phone is not None and held.phone_index is not None:
        own_index = persons.phone_index(index_key, key.merchant_id, phone)
        phone = phone if own_index == held.phone_index else None
    return {"full_name": opened(key, "full_name", held.name_sealed), "phone": phone}


@contextmanager
def _within_reach() -> Iterator[None]:
    """Raise 503 where keys can't be had now, 409 where one doesn't open."""
    try:
        yield
    except (KeyStoreError, KekMissingError, TimeoutError):
        raise _out_of_reach() from None
    except ValueError:
        raise ProblemError(PERSON_REFUSED, reasons=[because(UNREADABLE)]) from None


def _out_of_reach() -> ProblemError:
    return ProblemError(UNAVAILABLE, "The keys of what is personal can't be had now; ask again.")


async def _held(tenant: Reading, member_id: str) -> Held:
    """The member, whom nobody changes meanwhile. Raises 404."""
    held = await store.held(tenant, member_id)
    if held is None:
        raise ProblemError(NOT_FOUND)
    return held


def _not_erased(held: Held) -> Held:
    if held.status == "erased":
        raise ProblemError(PERSON_REFUSED, reasons=[because(MEMBER_ERASED)])
    return held


async def _looked_at(
    call: Call,
    tenant: Reading,
    held: Held,
    action: Action,
    reason: str,
    after: dict[str, Any] | None = None,
) -> dict[str, str | None]:
    """What is known of somebody, once it is written down who looks. Raises 409, 429 and 503."""
    # Had before anything is written down: then others of the merchant would wait for it, too.
    key = None if held.key_no is None else await _kept(call, held)
    await audit.record(call, tenant, action, held.member_id, reason=reason, after=after)
    await _require_not_too_often(call, tenant)
    return known_of(call.state.door_keys.phone, held, key)


async def _require_not_too_often(call: Call, tenant: Reading) -> None:
    """Raise 429 when this look is one too many. Entries of a merchant come one after the other."""
    actor_id = call.credential.actor_id
    if await store.unmasked_since(tenant, actor_id, UNMASKED_WITHIN_S) > UNMASKED_MAX:
        raise ProblemError(UNMASKED_TOO_OFTEN, headers={"Retry-After": str(int(UNMASKED_WITHIN_S))})


async def _settled(call: Call, tenant: Reading, member_id: str) -> Kept:
    """Raise 409 while they have something here."""
    kept = await forgetting.settle(tenant, member_id, call.credential.actor_id)
    if isinstance(kept, Kept):
        return kept
    raise ProblemError(PERSON_REFUSED, reasons=[because(CARDS_HAVE_VALUE, allowed=kept)])


async def _tell_store(call: Call, member_id: str, *, is_erased: bool) -> None:
    """The store of keys forgets, or remembers who asked for it. Raises 503."""
    keyring, merchant_id = call.state.keyring, call.credential.merchant_id
    with _within_reach():
        async with asyncio.timeout(TELL_S):  # the merchant's chain is held meanwhile
            await (keyring.forget if is_erased else keyring.remember)(merchant_id, member_id)


async def _kept(call: Call, held: Held) -> PersonKey:
    """The key that a member has. Raises 409 where it is gone, and 503."""
    keyring: Keyring = call.state.keyring
    assert held.key_no is not None
    with _within_reach():
        key = await keyring.of(call.credential.merchant_id, held.member_id, held.key_no)
    if key is None:
        raise ProblemError(PERSON_REFUSED, reasons=[because(UNREADABLE)])
    return key
