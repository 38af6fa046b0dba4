"""The story of a member: known by a phone that nobody reads, and by the cards that are theirs.

Nothing here moves value, so nothing needs a key of idempotency: what is sent again finds what it
wanted. Each change is one transaction, and an index says who was first.
"""

from collections.abc import Sequence
from datetime import timedelta

import asyncpg
from msgspec import structs

from schemas.common import Id
from schemas.members import (
    CardBind,
    CardUnbind,
    Member,
    MemberCardList,
    MemberCreate,
    MemberDetail,
    MemberList,
    MemberLookup,
    MemberToken,
    MemberTokenCreate,
    PhoneChange,
)
from schemas.problems import Reason
from service.audit import operations as audit
from service.kernel import tokens
from service.kernel.ids import new_id
from service.kernel.keyring import PersonKey
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
from service.ledger.reading import Reading, reading, require_own_member, writing
from service.ledger.reasons import CARD_NOT_FOUND, UNPROCESSABLE
from service.members import rules, store
from service.members.store import Known
from service.personal import operations as personal
from service.rules import persons

AFTER_ALL = "mbr_~"  # sorts after every id
HANDLES = ("external_id", "phone")
MILLISECOND = timedelta(milliseconds=1)

MEMBER_EXISTS = define(
    "member_exists",
    409,
    "Another member is known by this",
    "Nothing has changed. Go on with the member that reasons name, or send what is that person's.",
)
MEMBER_REFUSED = define(
    "member_refused",
    409,
    "This can't be done with the member now",
    "Nothing has changed. See reasons.",
)
EXTERNAL_ID_TAKEN = define_reason(
    "external_id_taken", "The member in existing_id has this external id, and not that phone."
)
PHONE_TAKEN = define_reason("phone_taken", "The member in existing_id has this phone.")
PHONE_INVALID = define_reason(
    "phone_invalid",
    "Send 11 digits of the Chinese mainland (13800138000), or + with country code and number "
    "(+447911123456), without blanks or signs.",
)
AT_LEAST_ONE = define_reason("at_least_one", "Give at least one of the fields in `allowed`.")
EXACTLY_ONE = define_reason("exactly_one", "Give one of the fields in `allowed`, and only one.")
MEMBER_MOVED = define_reason(
    "member_moved", "Somebody changed the phone meanwhile. Look at the member, then decide again."
)
CARD_BOUND = define_reason(
    "card_bound", "The card is the member's in existing_id. It must be unbound there first."
)
CARD_NAMED = define_reason(
    "card_named", "The card is in its holder's name, and stays theirs until it is transferred."
)
TOO_MANY_CARDS = define_reason(
    "too_many_cards", f"A member may have {rules.CARDS_MAX} cards. Unbind one of no use first."
)


async def create(call: Call, body: MemberCreate) -> Answer:
    """A new member, or the one who is known by all that is given."""
    given = [body.external_id, body.phone]
    wrong = [] if any(given) else [because(AT_LEAST_ONE, allowed=[*HANDLES])]
    known = _known(call, body.external_id, body.phone, wrong)
    name = personal.checked_name(body.full_name)
    async with writing(call) as tenant:
        holders = await store.holders(tenant, known)
        if any(holders.values()):
            return json_answer(200, _existing(holders))
        if not known.phone and not name:
            made = await _made(call, tenant, new_id("mbr"), known, None, name)
            existing = made or _existing(await store.holders(tenant, known))
            return json_answer(201 if made else 200, existing)
    return await _create_sealed(call, known, name)


async def _create_sealed(call: Call, known: Known, name: str | None) -> Answer:
    """Somebody of whom something is sealed: their key is made before their row, elsewhere."""
    member_id = new_id("mbr")
    async with personal.turn(call):
        key = await personal.new_key(call, member_id)
        async with writing(call) as tenant:
            made = await _made(call, tenant, member_id, known, key, name)
            existing = made or _existing(await store.holders(tenant, known))
        if made is None:  # somebody was a moment earlier
            await personal.drop_key(call, member_id)
    return json_answer(201 if made else 200, existing)


async def _made(
    call: Call,
    tenant: Reading,
    member_id: str,
    known: Known,
    key: PersonKey | None,
    name: str | None,
) -> Member | None:
    """The new member; None when somebody is known by this since a moment ago."""
    sealed = personal.sealed(key, known.phone, name)
    made = await store.insert(tenant, member_id, known, sealed)
    if made is not None:
        after = key and personal.committed(key, phone=known.phone, full_name=name)
        await audit.record(call, tenant, "member.created", made.id, after=after or None)
    return made


async def browse(call: Call, _: None) -> Answer:
    """Members, newest first."""
    limit, before = call.query.limit, decode_cursor(call.query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        found = await store.page(tenant, before, limit + 1)
    return json_answer(200, MemberList(*page_of(found, limit, lambda member: member.id)))


async def read(call: Call, _: None) -> Answer:
    """A member by id."""
    member_id = object_id(call, "member_id", "mbr")
    async with reading(call) as tenant:
        return json_answer(200, await _own(call, tenant, member_id))


async def look_up(call: Call, body: MemberLookup) -> Answer:
    """A member by what they are known by, with their cards."""
    wrong = _unless_one(HANDLES, body.external_id, body.phone)
    known = _known(call, body.external_id, body.phone, wrong)
    async with reading(call) as tenant:
        [member] = (await store.holders(tenant, known)).values()
        if member is None:
            raise ProblemError(NOT_FOUND, "There is no such member.")
        cards = await store.cards(tenant, member.id)
    return json_answer(200, MemberDetail(**structs.asdict(member), cards=cards))


async def change_phone(call: Call, body: PhoneChange) -> Answer:
    """Another phone, unless somebody changed it meanwhile or another member has it."""
    member_id, known = object_id(call, "member_id", "mbr"), _known(call, None, body.phone)
    try:
        async with personal.turn(call), writing(call) as tenant:
            held = await personal.active_member(tenant, member_id)
            holder = (await store.holders(tenant, known))["phone"]
            if holder is not None and holder.id == member_id:
                return json_answer(200, holder)
            if held.version != body.version:
                raise ProblemError(MEMBER_REFUSED, reasons=[because(MEMBER_MOVED)])
            key = await personal.key_of(call, held)
            sealed = personal.sealed(key, known.phone)
            member = await store.change_phone(tenant, member_id, known, sealed)
            before = personal.committed(key, phone=personal.opened(key, "phone", held.phone_sealed))
            after = personal.committed(key, phone=known.phone)
            await audit.record(
                call, tenant, "member.phone_changed", member_id, before=before, after=after
            )
    except asyncpg.UniqueViolationError:
        async with reading(call) as tenant:
            raise ProblemError(
                MEMBER_EXISTS, reasons=_taken(await store.holders(tenant, known))
            ) from None
    return json_answer(200, member)


async def cards(call: Call, _: None) -> Answer:
    """The cards that are a member's now."""
    member_id = object_id(call, "member_id", "mbr")
    async with reading(call) as tenant:
        await _own(call, tenant, member_id)
        return json_answer(200, MemberCardList(await store.cards(tenant, member_id)))


async def bind(call: Call, body: CardBind) -> Answer:
    """Make a card a member's: the first who asks has it."""
    if wrong := _unless_one(("card_number", "card_id"), body.card_number, body.card_id):
        raise ProblemError(UNPROCESSABLE, reasons=wrong)
    member_id = object_id(call, "member_id", "mbr")
    async with writing(call) as tenant:
        await personal.active_member(tenant, member_id)
        card_id = await store.card(tenant, body.card_id, body.card_number)
        if card_id is None:
            raise ProblemError(CARD_NOT_FOUND)
        is_new = await store.bind(tenant, member_id, card_id, call.credential.actor_id)
        if not is_new:
            await _require_holder(tenant, member_id, card_id)
        elif await store.count(tenant, member_id) > rules.CARDS_MAX:
            raise ProblemError(MEMBER_REFUSED, reasons=[because(TOO_MANY_CARDS)])
        else:
            await audit.record(call, tenant, "card.bound", card_id, after={"member_id": member_id})
    async with reading(call) as tenant:  # balances and lots of one moment
        held = await store.cards(tenant, member_id)
    bound = next((card for card in held if card.id == card_id), None)
    if bound is None:
        raise _let_go()
    return json_answer(201 if is_new else 200, bound)


async def unbind(call: Call, body: CardUnbind) -> Answer:
    """End a binding, unless the card is in its holder's name."""
    member_id, card_id = object_id(call, "member_id", "mbr"), object_id(call, "card_id", "crd")
    async with writing(call) as tenant:
        found = await store.binding(tenant, card_id, body.binding_no, member_id)
        if found is None:
            raise ProblemError(NOT_FOUND)
        binding, is_named = found
        if binding.unbound_at is None:
            if is_named:
                raise ProblemError(MEMBER_REFUSED, reasons=[because(CARD_NAMED, card_id=card_id)])
            await store.unbind(tenant, card_id, body.binding_no, call.credential.actor_id)
            before = {"member_id": member_id}
            await audit.record(call, tenant, "card.unbound", card_id, before=before)
            ended = await store.binding(tenant, card_id, body.binding_no, member_id)
            assert ended is not None
            binding = ended[0]
    return json_answer(200, binding)


async def issue_token(call: Call, body: MemberTokenCreate) -> Answer:
    """A token of one member, signed and stored nowhere."""
    member_id = object_id(call, "member_id", "mbr")
    async with writing(call) as tenant:
        await personal.active_member(tenant, member_id)
        generation = await store.token_generation(tenant, member_id)
    assert generation is not None
    merchant = tenant.merchant
    expires_at = merchant.clock + timedelta(seconds=body.expires_in_s)
    expires_at -= timedelta(microseconds=expires_at.microsecond % 1_000)
    claims = tokens.MemberClaims(
        merchant.merchant_id, member_id, generation, expires_at, call.credential.secret_hash
    )
    text = tokens.sign_member_token(claims, merchant.mode, call.state.door_keys.member_token)
    return json_answer(201, MemberToken(text, expires_at, member_id))


async def sign_out(call: Call, _: None) -> Answer:
    """End every token of a member."""
    member_id = object_id(call, "member_id", "mbr")
    async with writing(call) as tenant:
        member = await store.sign_out(tenant, member_id)
        if member is not None:
            await audit.record(call, tenant, "member.signed_out", member_id)
    if member is None:
        raise ProblemError(NOT_FOUND)
    return json_answer(200, member)


def _unless_one(names: Sequence[str], *values: str | None) -> list[Reason]:
    """What is wrong with a body in which just one of these may be given."""
    given = [value for value in values if value is not None]
    return [] if len(given) == 1 else [because(EXACTLY_ONE, allowed=[*names])]


def _known(
    call: Call, external_id: str | None, phone: str | None, wrong: Sequence[Reason] = ()
) -> Known:
    """What a member is known by. Raises 422 with what is wrong, also with the phone."""
    reasons, found = list(wrong), None
    if phone is not None:
        try:
            found = persons.phone(phone)
        except ValueError:
            reasons.append(because(PHONE_INVALID, path="$.phone"))
    if reasons:
        raise ProblemError(UNPROCESSABLE, reasons=reasons)
    if found is None:
        return Known(external_id, None, None, None)
    key, merchant_id = call.state.door_keys.phone, call.credential.merchant_id
    index = persons.phone_index(key, merchant_id, found.number)
    return Known(external_id, found.number, index, found.masked)


def _existing(holders: dict[str, Member | None]) -> Member:
    """The one member who is known by all of these. Raises 409, or 503 when that just changed."""
    found = [member for member in holders.values() if member is not None]
    if not found:
        raise ProblemError(UNAVAILABLE, "A phone was changed just now; ask again.")
    if len({member.id for member in found}) > 1 or len(found) < len(holders):
        raise ProblemError(MEMBER_EXISTS, reasons=_taken(holders))
    return found[0]


def _taken(holders: dict[str, Member | None]) -> list[Reason]:
    codes = {"external_id": EXTERNAL_ID_TAKEN, "phone": PHONE_TAKEN}
    return [
        because(codes[name], path=f"$.{name}", existing_id=member.id)
        for name, member in holders.items()
        if member is not None
    ]


async def _own(call: Call, tenant: Reading, member_id: str) -> Member:
    """The member, where the caller may see it. Raises 404."""
    require_own_member(call, member_id)
    member = await store.by_id(tenant, member_id)
    if member is None:
        raise ProblemError(NOT_FOUND)
    return member


def _let_go() -> ProblemError:
    return ProblemError(UNAVAILABLE, "The card was let go just now; ask again.")


async def _require_holder(tenant: Reading, member_id: str, card_id: str) -> None:
    """Raise 409 when a card is another member's, 503 when it was just let go."""
    holder = await store.holder(tenant, card_id)
    if holder is None:
        raise _let_go()
    if holder != member_id:
        reason = because(CARD_BOUND, card_id=card_id, existing_id=holder)
        raise ProblemError(MEMBER_REFUSED, reasons=[reason])
