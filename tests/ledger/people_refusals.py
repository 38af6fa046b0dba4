"""What provokes the refusals about people, keys, areas and stores, with a merchant to have them."""

import os
from datetime import UTC, datetime
from hashlib import sha1
from tempfile import NamedTemporaryFile
from types import SimpleNamespace
from typing import Any

import msgspec

from schemas.roles import Role
from schemas.sessions import PasswordConfirm, SignIn, TotpConfirm
from schemas.users import TicketRedeem, UserInvite, UserReset, UserVersion
from service.kernel import database, sealing, tokens
from service.kernel.auth import require_network, scope_missing
from service.kernel.breaches import Breaches
from service.kernel.ids import new_id
from service.kernel.passwords import Passwords
from service.kernel.permissions import SELF
from service.ledger.credentials import Uses
from service.rules import accounts
from service.sessions import operations as sessions
from service.sessions import rules
from service.sessions import store as session_store
from service.users import operations as users
from service.users import store as user_store
from tests.harness import people
from tests.ledger.rules.kit import Shop
from tests.ledger.stored_refusals import How, call

ABSENT = {
    "user_id": "usr_" + "0" * 26, "area_id": "are_" + "0" * 26, "store_id": "sto_" + "0" * 26,
    "session_id": "ses_" + "0" * 26, "api_key_id": "key_" + "0" * 26,
    "grant_id": "grt_" + "0" * 26, "visit_id": "vis_" + "0" * 26,
}  # fmt: skip
RIGHT, WRONG = people.PASSWORD, "Seven*Lamps over 2 roofs"
PASSWORDS = Passwords()
FULL = Passwords(waiting_max=0)


async def asked(
    merchant: Shop,
    role: str = "owner",
    node_id: str | None = None,
    *,
    at: str = "",
    **path: str,
) -> Any:
    """A request of somebody with a role, at the merchant or `at` another tenant."""
    found, tenant_id = call(merchant), at or merchant.merchant_id
    keys = found.state.door_keys
    person = await people.hire(merchant.pool, keys, tenant_id, role, node_id)
    known = await merchant.terms.load(tenant_id, [tokens.hash_of(person.token)])
    assert known is not None
    found.credential = known.credentials[tokens.hash_of(person.token)]
    found.path = {**ABSENT, **path}
    found.scope = "users:write"
    found.query.limit = 10
    found.state.passwords, found.state.session_idle_s = PASSWORDS, 60.0
    found.state.company_mail_only = False
    return found


async def another(merchant: Shop, role: str = "cashier", node_id: str | None = None) -> str:
    """Somebody else's id."""
    keys = call(merchant).state.door_keys
    place = node_id or (merchant.store_id if role == "cashier" else None)
    return (await people.hire(merchant.pool, keys, merchant.merchant_id, role, place)).user_id


def guest(merchant: Shop) -> Any:
    """Somebody who isn't known yet."""
    state = call(merchant).state
    state.passwords, state.session_s = PASSWORDS, 60.0
    return SimpleNamespace(state=state, request_id="req_1", address="127.0.0.1", device=None)


def on(operation: Any, body: Any, role: str = "owner") -> How:
    """An operation of somebody on whatever the path names: nothing that is there."""

    async def how(merchant: Shop) -> Any:
        return await operation(await asked(merchant, role), body)

    return how


def on_another(operation: Any, body: Any, other: str = "cashier", role: str = "owner") -> How:
    """An operation of somebody on somebody else."""

    async def how(merchant: Shop) -> Any:
        other_id = await another(merchant, other)
        node = merchant.store_id if role == "store_manager" else None
        return await operation(await asked(merchant, role, node, user_id=other_id), body)

    return how


def invited(role: Role = "cashier", node: str = "") -> How:
    """Somebody is invited to the merchant's store, or elsewhere."""

    async def how(merchant: Shop) -> Any:
        email = f"{os.urandom(6).hex()}@qinghe.example"
        body = UserInvite(role, node or merchant.store_id, email)
        return await users.invite(await asked(merchant), body)

    return how


async def invited_twice(merchant: Shop) -> Any:
    """An address that somebody has."""
    body = UserInvite("cashier", merchant.store_id, "twice@qinghe.example")
    for _ in range(2):
        await users.invite(await asked(merchant), body)


async def mailed_at_home(merchant: Shop) -> Any:
    """A private address where companies' are wanted."""
    found = await asked(merchant)
    found.state.company_mail_only = True
    return await users.invite(found, UserInvite("cashier", merchant.store_id, "x@qq.com"))


async def upon_oneself(merchant: Shop) -> Any:
    """One's own account."""
    found = await asked(merchant)
    found.path["user_id"] = found.credential.user_id
    return await users.disable(found, UserVersion(1))


async def beyond(merchant: Shop) -> Any:
    """A store's manager makes an owner."""
    found = await asked(merchant, "store_manager", merchant.store_id)
    body = UserInvite("owner", merchant.merchant_id, "boss@qinghe.example")
    return await users.invite(found, body)


async def above_oneself(merchant: Shop) -> Any:
    """A cashier of one's own who is an owner, too."""
    other_id = await another(merchant)
    async with database.tenant(merchant.pool, merchant.merchant_id) as connection:
        await user_store.give(
            connection, merchant.merchant_id, new_id("grt"), other_id, "owner",
            merchant.merchant_id, "x",
        )  # fmt: skip
    found = await asked(merchant, "store_manager", merchant.store_id, user_id=other_id)
    return await users.disable(found, UserVersion(99))


async def reset_disabled(merchant: Shop) -> Any:
    """Somebody who is let in no more."""
    other_id = await another(merchant)
    await merchant.rows(
        "update user_account set status = 'disabled' where merchant_id = $1 and user_id = $2",
        other_id,
    )
    return await users.reset(await asked(merchant, user_id=other_id), UserReset())


def ticket(merchant: Shop) -> str:
    """One of nobody's."""
    return tokens.new_token(merchant.merchant_id, "test", "kft")


async def redeem_nothing(merchant: Shop) -> Any:
    """What was never given."""
    return await users.redeem(guest(merchant), TicketRedeem(ticket(merchant), RIGHT))


async def choose_badly(merchant: Shop) -> Any:
    """Everything that can be wrong with a password."""
    with NamedTemporaryFile("w") as file:
        file.write(f"{sha1(b'1234', usedforsecurity=False).hexdigest().upper()}:9\r\n")
        file.flush()
        passwords = Passwords(breaches=Breaches(file.name))
    try:
        return await sessions.require_strong(passwords, "1234", [])
    finally:
        passwords.close()


def signing(password: str, code: str | None = None, *, totp: bool = False) -> How:
    """Somebody signs in, with an authenticator or without."""

    async def how(merchant: Shop) -> Any:
        keys = call(merchant).state.door_keys
        person = await people.hire(merchant.pool, keys, merchant.merchant_id, "owner")
        if totp:
            await _with_totp(merchant, person.user_id)
        body = SignIn(merchant.merchant_id, person.email, password, code)
        return await sessions.sign_in(guest(merchant), body)

    return how


async def password_with_wrong_code(merchant: Shop) -> Any:
    """Another password, by who doesn't have the authenticator."""
    found = await asked(merchant)
    await _with_totp(merchant, found.credential.user_id)
    return await sessions.require_all_factors(found, RIGHT, "$.current_password", "000000")


async def _with_totp(merchant: Shop, user_id: str, *, confirmed: bool = True) -> None:
    key = call(merchant).state.door_keys.totp
    sealed = sealing.seal(key, os.urandom(20), merchant.merchant_id, user_id, "totp")
    await merchant.rows(
        "update user_account set totp_sealed = $3, totp_since = case when $4 then now() end"
        " where merchant_id = $1 and user_id = $2",
        user_id,
        sealed,
        confirmed,
    )


async def changed_meanwhile(merchant: Shop) -> Any:
    """The account isn't as it was when its password was found right."""
    keys = call(merchant).state.door_keys
    person = await people.hire(merchant.pool, keys, merchant.merchant_id, "owner")
    index = accounts.email_index(keys.email, merchant.merchant_id, person.email)
    seen = session_store.Account(person.user_id, "active", 0, None, None, False)
    body = SignIn(merchant.merchant_id, person.email, RIGHT)
    return await sessions._start(guest(merchant), body, index, seen, None, [])


async def tried_often(merchant: Shop) -> Any:
    """One more than there are."""
    subjects = [(os.urandom(32), 1)]
    async with database.tenant(merchant.pool, merchant.merchant_id) as connection:
        for _ in range(3):
            await sessions._count_try(connection, merchant.merchant_id, subjects)


def confirming(*, begun: bool, set_up: bool = False) -> How:
    """A code that isn't right, or that nothing waits for."""

    async def how(merchant: Shop) -> Any:
        found = await asked(merchant)
        if begun:
            await _with_totp(merchant, found.credential.user_id, confirmed=set_up)
        return await sessions.confirm_totp(found, TotpConfirm("000000"))

    return how


async def confirmed_meanwhile(merchant: Shop) -> Any:
    """A right code of an authenticator that counts already."""
    found = await asked(merchant)
    await _with_totp(merchant, found.credential.user_id)
    async with database.tenant(merchant.pool, merchant.merchant_id) as connection:
        sealed = await connection.fetchval(
            "select totp_sealed from user_account where merchant_id = $1 and user_id = $2",
            merchant.merchant_id,
            found.credential.user_id,
        )
    place = (merchant.merchant_id, found.credential.user_id, "totp")
    secret = sealing.unseal(found.state.door_keys.totp, sealed, *place)
    code = rules.totp(secret).generate(int(datetime.now(UTC).timestamp())).decode()
    return await sessions.confirm_totp(found, TotpConfirm(code))


async def begun_twice(merchant: Shop) -> Any:
    """There is an authenticator."""
    found = await asked(merchant)
    await _with_totp(merchant, found.credential.user_id)
    return await sessions.begin_totp(found, PasswordConfirm(RIGHT))


async def idle(merchant: Shop) -> Any:
    """A session that nobody used for too long."""
    found = await asked(merchant)
    return await Uses(merchant.pool, -1.0).note(found.credential)


def lacking(scope: str, *, weak: bool = False) -> How:
    """Somebody, or a key, without a permission."""

    async def how(merchant: Shop) -> Any:
        found = await asked(merchant, "cashier", merchant.store_id)
        credential = found.credential
        if weak:
            credential = msgspec.structs.replace(credential, withheld=frozenset((scope,)))
        return scope_missing(credential, scope)

    return how


async def key_for_people(merchant: Shop) -> Any:
    """A key where people are wanted."""
    return scope_missing(call(merchant).credential, SELF)


async def from_elsewhere(merchant: Shop) -> Any:
    """A key from another network."""
    inside = msgspec.structs.replace(call(merchant).credential, networks=("10.0.0.0/8",))
    return require_network(inside, "192.0.2.1")


async def at_another_store(merchant: Shop) -> Any:
    """Somebody redeems where they aren't responsible, as of the batch's own snapshot."""
    found = await asked(merchant, "cashier", merchant.store_id)
    card = await merchant.card(100)
    command = merchant.redeeming(card, 1)
    command.credential, command.store_id = found.credential, ABSENT["store_id"]
    return await merchant.writer.submit(command)


async def hash_too_many(merchant: Shop) -> Any:
    """One more than may wait."""
    return await FULL.fits(None, RIGHT)


P, U = "service.sessions.operations", "service.users.operations"
STALE = UserVersion(99)
CASES: list[tuple[str, str, How]] = [
    ("service.kernel.auth.require_network", "forbidden network_not_allowed", from_elsewhere),
    ("service.kernel.auth.scope_missing", "people_only", key_for_people),
    ("service.kernel.auth.scope_missing", "permission_missing", lacking("audit:read")),
    ("service.kernel.auth.scope_missing", "second_factor_required",
     lacking("audit:read", weak=True)),
    ("service.kernel.passwords.Passwords.require_room", "overloaded", hash_too_many),
    ("service.ledger.batch.Batch.authorize", "store_not_allowed", at_another_store),
    ("service.ledger.credentials.Uses._note_session", "unauthenticated", idle),
    ("service.rules.accounts.why_weak",
     "contradiction password_too_short password_too_plain password_guessable password_breached",
     choose_badly),
    (f"{P}.require_strong",
     "contradiction password_too_short password_too_plain password_guessable password_breached",
     choose_badly),
    (f"{P}._require_oneself", "contradiction password_wrong",
     on(sessions.begin_totp, PasswordConfirm(WRONG))),
    (f"{P}.begin_totp", "second_factor_refused totp_set_up", begun_twice),
    (f"{P}.confirm_totp", "second_factor_refused totp_not_begun", confirming(begun=False)),
    (f"{P}.confirm_totp", "contradiction code_wrong", confirming(begun=True)),
    (f"{P}.confirm_totp", "second_factor_refused totp_set_up", confirmed_meanwhile),
    (f"{P}.end", "not_found", on(sessions.end, None)),
    (f"{P}._failed", "sign_in_failed", signing(WRONG)),
    (f"{P}._recognised", "second_factor_needed", signing(RIGHT, totp=True)),
    (f"{P}._failed", "sign_in_failed", signing(RIGHT, "000000", totp=True)),
    (f"{P}._require_oneself", "contradiction code_wrong", password_with_wrong_code),
    (f"{P}._failed", "sign_in_failed", changed_meanwhile),
    (f"{P}._count_try", "sign_in_delayed", tried_often),
    (f"{U}.invite", "user_exists email_taken", invited_twice),
    (f"{U}._email", "contradiction mail_is_personal", mailed_at_home),
    (f"{U}._require_may_give", "contradiction role_elsewhere", invited(role="owner")),
    (f"{U}._require_may_give", "beyond_reach", beyond),
    (f"{U}._give", "contradiction store_unknown", invited(node=ABSENT["store_id"])),
    (f"{U}._give", "contradiction node_unknown",
     invited(role="area_manager", node=ABSENT["area_id"])),
    (f"{U}._seen", "not_found", on(users.read, None)),
    (f"{U}._within_reach", "user_refused oneself", upon_oneself),
    (f"{U}._within_reach", "beyond_reach", above_oneself),
    (f"{U}._set_status", "user_refused user_moved", on_another(users.disable, STALE)),
    (f"{U}.reset", "user_refused user_moved", reset_disabled),
    (f"{U}.redeem", "ticket_refused", redeem_nothing),
]  # fmt: skip
