"""What provokes the refusals about what is personal, with a merchant to know somebody."""

from pathlib import Path
from typing import Any

from schemas.members import CardBind, MemberCreate, MemberTokenCreate, NameChange
from schemas.personal import Erase, LegalHoldPlace, Unmask
from service.kernel.key_store import FileKeys
from service.kernel.keyring import PersonKey
from service.members import operations as members
from service.personal import operations as personal
from service.personal.operations import UNMASKED_MAX
from tests.harness.keys import keyring_on
from tests.ledger.member_refusals import at, made, on
from tests.ledger.people_refusals import asked as person
from tests.ledger.rules.kit import Shop
from tests.ledger.stored_refusals import KEK, How

LOOK = Unmask(["phone"], "contact", "a test")
GONE = Erase(1, "a test")
ABSENT_HOLD, ANY_KEY = "lgh_" + "0" * 26, b"k" * 32


async def somebody(merchant: Shop) -> Any:
    """A request about a member of whom a phone is known."""
    return at(merchant, member_id=await made(merchant), legal_hold_id=ABSENT_HOLD)


async def late_name(merchant: Shop) -> Any:
    """Another name by who hasn't seen the one before."""
    return await personal.change_name(await somebody(merchant), NameChange("张伟", 2))


async def late_erasure(merchant: Shop) -> Any:
    """Erased by who hasn't seen what was changed."""
    return await personal.erase(await somebody(merchant), Erase(2, "a test"))


async def look_at_erased(merchant: Shop) -> Any:
    """Somebody who is known no more."""
    asked = await somebody(merchant)
    await personal.erase(asked, GONE)
    return await personal.unmask(asked, LOOK)


async def restricted(merchant: Shop) -> Any:
    """A request about somebody who is only stored."""
    asked = await somebody(merchant)
    await personal.place_hold(asked, LegalHoldPlace("a test"))
    await personal.erase(asked, GONE)
    return asked


async def look_at_restricted(merchant: Shop) -> Any:
    """For a purpose that isn't theirs any more."""
    return await personal.unmask(await restricted(merchant), LOOK)


async def token_of_restricted(merchant: Shop) -> Any:
    """An app of somebody who is only stored."""
    return await members.issue_token(await restricted(merchant), MemberTokenCreate())


async def without_key(merchant: Shop) -> Any:
    """A request about somebody whose key is destroyed, as after a restore."""
    asked = await somebody(merchant)
    await asked.state.keyring.drop(merchant.merchant_id, asked.path["member_id"])
    return asked


async def name_without_key(merchant: Shop) -> Any:
    """A name of theirs."""
    return await personal.change_name(await without_key(merchant), NameChange("张伟", 1))


async def look_without_key(merchant: Shop) -> Any:
    """A look at them."""
    return await personal.unmask(await without_key(merchant), LOOK)


async def erase_the_rich(merchant: Shop) -> Any:
    """Somebody whose card has money on it."""
    asked, card = await somebody(merchant), await merchant.card(5_000)
    await members.bind(asked, CardBind(card_id=card.card_id))
    return await personal.erase(asked, GONE)


async def look_too_often(merchant: Shop) -> Any:
    """One more than an hour allows."""
    asked = await person(merchant, member_id=await made(merchant))
    for _ in range(UNMASKED_MAX + 1):
        await personal.unmask(asked, LOOK)


async def look_with_anothers_key(merchant: Shop) -> Any:
    """The store has somebody else's key for them."""
    asked, other = await without_key(merchant), await somebody(merchant)
    keyring, merchant_id = asked.state.keyring, merchant.merchant_id
    ((_, key_no, _, wrapped),) = await keyring._fetch(
        "of_owner", merchant_id, other.path["member_id"]
    )
    row = (merchant_id, asked.path["member_id"], key_no, "", wrapped)
    await keyring._write(("put", [row]))
    return await personal.unmask(asked, LOOK)


async def look_without_store(merchant: Shop) -> Any:
    """The keys are out of reach."""
    asked = await somebody(merchant)
    asked.state.keyring = keyring_on(FileKeys(Path("/dev/null/keys.db")), KEK)
    return await personal.unmask(asked, LOOK)


def open_anothers(_: Shop) -> Any:
    """What was sealed for somebody else."""
    sealed = PersonKey("mer_1", "mbr_1", 1, ANY_KEY).seal("phone", "+8613800138000")
    return personal.opened(PersonKey("mer_1", "mbr_2", 1, ANY_KEY), "phone", sealed)


async def release_nothing(merchant: Shop) -> Any:
    """A hold that isn't there."""
    return await personal.release_hold(await somebody(merchant), None)


P = "service.personal.operations"
NAMELESS = MemberCreate(external_id="wx-0", full_name="\n")
CASES: list[tuple[str, str, How]] = [
    (f"{P}._settled", "person_refused cards_have_value", erase_the_rich),
    (f"{P}._held", "not_found", on(members.issue_token, MemberTokenCreate())),
    (f"{P}._not_erased", "person_refused member_erased", look_at_erased),
    (f"{P}._require_not_too_often", "unmasked_too_often", look_too_often),
    (f"{P}._within_reach", "person_refused unreadable", look_with_anothers_key),
    (f"{P}._out_of_reach", "unavailable", look_without_store),
    (f"{P}.active_member", "person_refused member_restricted", token_of_restricted),
    (f"{P}.change_name", "person_refused member_changed", late_name),
    (f"{P}.checked_name", "contradiction name_invalid", on(members.create, NAMELESS)),
    (f"{P}.erase", "person_refused member_changed", late_erasure),
    (f"{P}.holds", "not_found", on(personal.holds, None)),
    (f"{P}._kept", "person_refused unreadable", name_without_key),
    (f"{P}._kept", "person_refused unreadable", look_without_key),
    (f"{P}.opened", "person_refused unreadable", open_anothers),
    (f"{P}.release_hold", "not_found", release_nothing),
    (f"{P}.unmask", "person_refused member_restricted", look_at_restricted),
]
