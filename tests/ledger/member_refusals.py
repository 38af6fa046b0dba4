"""What provokes the refusals about members, with a merchant to have them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from schemas.members import (
    CardBind,
    CardUnbind,
    MemberCreate,
    MemberLookup,
    PhoneChange,
)
from service.kernel.auth import closed_to_members
from service.ledger.reading import reading, require_own_card, writing
from service.members import operations as members
from service.members import rules
from service.members import store as member_store
from service.members.store import Known
from tests.ledger.rules.kit import Shop
from tests.ledger.stored_refusals import PATH, How, call, suspended

PHONES = (f"138{number:08}" for number in range(10**8))


def at(merchant: Shop, **path: str) -> Any:
    """A request that names these in its path."""
    asked = call(merchant)
    asked.path = PATH | path
    return asked


async def a_members(merchant: Shop) -> Any:
    """A request with a token of a member, of whom the path says nothing."""
    asked, member_id = call(merchant), await made(merchant)
    asked.credential = msgspec.structs.replace(
        asked.credential, member_id=member_id, token_generation=1
    )
    return asked


async def made(merchant: Shop, **known: str) -> str:
    """A member's id, of a phone nobody has unless another is given."""
    known = known or {"phone": next(PHONES)}
    answer = await members.create(call(merchant), MemberCreate(**known))
    assert answer.status in (200, 201)
    return str(msgspec.json.decode(answer.body)["id"])


async def bound(merchant: Shop, times: int = 1) -> tuple[str, str]:
    """A member with so many cards, and the last of the cards; in the member's name."""
    member_id, card_id = await made(merchant), ""
    for _ in range(times):
        card_id = (await merchant.card()).card_id
        await members.bind(at(merchant, member_id=member_id), CardBind(card_id=card_id))
    return member_id, card_id


def given(create: MemberCreate, *others: dict[str, str]) -> How:
    """A member is made where these are already."""

    async def asked_for(merchant: Shop) -> Any:
        for other in others:
            await made(merchant, **other)
        return await members.create(call(merchant), create)

    return asked_for


async def existing(merchant: Shop) -> Any:
    """Whoever had the phone has another by now."""
    known = Known(None, "+8613800138000", b"x" * 32, "138****8000")
    async with reading(call(merchant)) as tenant:
        return members._existing(await member_store.holders(tenant, known))


async def let_go(merchant: Shop) -> Any:
    """Whoever had the card has it no more."""
    async with reading(call(merchant)) as tenant:
        return await members._require_holder(tenant, "mbr_1", PATH["card_id"])


async def bind_anothers(merchant: Shop) -> Any:
    """A card that is a member's."""
    _, card_id = await bound(merchant)
    other = at(merchant, member_id=await made(merchant))
    return await members.bind(other, CardBind(card_id=card_id))


async def bind_nothing(merchant: Shop) -> Any:
    """A number that no card has."""
    asked = at(merchant, member_id=await made(merchant))
    return await members.bind(asked, CardBind(card_number="88000000"))


async def unbind_named(merchant: Shop) -> Any:
    """A card in its holder's name."""
    member_id, card_id = await bound(merchant)
    return await members.unbind(at(merchant, member_id=member_id, card_id=card_id), CardUnbind(1))


async def phone_of_another(merchant: Shop) -> Any:
    """A phone that somebody has."""
    phone = next(PHONES)
    await made(merchant, phone=phone)
    return await members.change_phone(
        at(merchant, member_id=await made(merchant)), PhoneChange(phone, 1)
    )


async def phone_late(merchant: Shop) -> Any:
    """A change by who hasn't seen the one before."""
    asked = at(merchant, member_id=await made(merchant))
    await members.change_phone(asked, PhoneChange(next(PHONES), 1))
    return await members.change_phone(asked, PhoneChange(next(PHONES), 1))


async def write_suspended(merchant: Shop) -> Any:
    """Anything, while the merchant is suspended."""
    async with suspended(merchant), writing(call(merchant)):
        pass


async def card_of_nobody(merchant: Shop) -> Any:
    """A card that isn't the member's whose token asks."""
    card = await merchant.card()
    asked = await a_members(merchant)
    async with reading(asked) as tenant:
        return await require_own_card(asked, tenant, card.card_id)


async def another_member(merchant: Shop) -> Any:
    """A member whose token it isn't."""
    asked = await a_members(merchant)
    asked.path = PATH | {"member_id": await made(merchant)}
    return await members.read(asked, None)


def on(operation: Callable[[Any, Any], Awaitable[Any]], body: Any) -> How:
    """An operation on whatever the path names: nothing that is there."""
    return lambda merchant: operation(call(merchant), body)


async def refuse(_: Shop) -> Any:
    """A route that isn't open to members."""
    raise closed_to_members()


M = "service.members.operations"
NEITHER = MemberLookup()
BOTH = CardBind(card_number="88000000", card_id=PATH["card_id"])
CASES: list[tuple[str, str, How]] = [
    ("service.kernel.auth.closed_to_members", "forbidden not_for_members", refuse),
    ("service.ledger.reading.active_tenant_of", "merchant_suspended", write_suspended),
    ("service.ledger.reading.require_own_card", "not_found", card_of_nobody),
    ("service.ledger.reading.require_own_member", "not_found", another_member),
    (f"{M}.create", "contradiction at_least_one", on(members.create, MemberCreate())),
    (f"{M}.bind", "contradiction exactly_one", on(members.bind, BOTH)),
    (f"{M}.bind", "card_not_found", bind_nothing),
    (f"{M}.bind", "member_refused too_many_cards",
     lambda merchant: bound(merchant, rules.CARDS_MAX + 1)),
    (f"{M}.change_phone", "member_exists phone_taken", phone_of_another),
    (f"{M}.look_up", "not_found", on(members.look_up, MemberLookup(phone="13700000000"))),
    (f"{M}.sign_out", "not_found", on(members.sign_out, None)),
    (f"{M}.unbind", "not_found", on(members.unbind, CardUnbind(1))),
    (f"{M}.unbind", "member_refused card_named", unbind_named),
    (f"{M}._existing", "member_exists external_id_taken", given(
        MemberCreate("wx-1", "13900000001"), {"external_id": "wx-1"})),
    (f"{M}._existing", "unavailable", existing),
    (f"{M}._known", "contradiction phone_invalid",
     on(members.create, MemberCreate(phone="1"))),
    (f"{M}._own", "not_found", on(members.read, None)),
    (f"{M}._require_holder", "member_refused card_bound", bind_anothers),
    (f"{M}._let_go", "unavailable", let_go),
    (f"{M}._taken", "member_exists external_id_taken phone_taken", given(
        MemberCreate("wx-2", "13900000002"), {"external_id": "wx-2"}, {"phone": "13900000002"})),
    (f"{M}.change_phone", "member_refused member_moved", phone_late),
    (f"{M}._unless_one", "contradiction exactly_one", on(members.look_up, NEITHER)),
]  # fmt: skip
