"""The story of a session: begun with a password and a code, used, ended.

A try counts as failed before it is known whether it was, so that many at once can't pass the limit
together. Whoever failed is told the same, whatever was wrong. Sessions that end are over with the
answer: the tenant's epoch is raised in the same transaction. By the real clock.
"""

import base64
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from schemas.audit import Actor
from schemas.problems import Reason
from schemas.sessions import (
    PasswordConfirm,
    RecoveryCodes,
    SessionList,
    SessionsEnded,
    SessionStarted,
    SignIn,
    TotpConfirm,
    TotpSecret,
)
from service.audit import operations as audit
from service.kernel import database, sealing, tokens
from service.kernel.ids import new_id
from service.kernel.passwords import Passwords, is_outdated
from service.kernel.problems import (
    NOT_FOUND,
    ProblemError,
    because,
    define,
    define_reason,
)
from service.kernel.routes import Answer, Call, Guest, json_answer, object_id
from service.ledger.reading import Reading, configuring, reading, writing
from service.ledger.reasons import UNPROCESSABLE
from service.rules import accounts
from service.sessions import rules, store
from service.sessions.store import Account
from service.visits import operations as visits

Subjects = list[tuple[bytes, int]]
TOTP_BYTES = 20

SIGN_IN_FAILED = define(
    "sign_in_failed",
    401,
    "Nobody is signed in",
    "The merchant, the address, the password or the code is wrong; which one isn't told.",
)
SECOND_FACTOR_NEEDED = define(
    "second_factor_needed",
    401,
    "A code is needed",
    "The password is right. Send it again with the code that the authenticator shows, or with a "
    "recovery code.",
)
SIGN_IN_DELAYED = define(
    "sign_in_delayed",
    429,
    "Too many tries failed",
    "Wait for Retry-After. A device that signed in before and sends its device_token is not held "
    "up by tries elsewhere.",
)
SECOND_FACTOR_REFUSED = define(
    "second_factor_refused",
    409,
    "This can't be done with the second factor now",
    "Nothing has changed. See reasons.",
    is_told=True,
)
PASSWORD_WRONG = define_reason("password_wrong", "This isn't your password.")
TOTP_SET_UP = define_reason(
    "totp_set_up", "You have an authenticator. Somebody who may reset you ends it first."
)
TOTP_NOT_BEGUN = define_reason("totp_not_begun", "Ask for a secret with POST /v1/me/totp first.")
CODE_WRONG = define_reason(
    "code_wrong", "This isn't what it shows now. Look at the clock of the phone, then try again."
)


class _GuessError(ProblemError):
    """What was shown is wrong: the try stays counted."""


async def sign_in(guest: Guest, body: SignIn) -> Answer:
    """A session for whoever knows the password, and has the authenticator if there is one."""
    merchant_id, keys = body.merchant_id, guest.state.door_keys
    address = accounts.email(body.email).address
    index = accounts.email_index(keys.email, merchant_id, address)
    subjects = rules.subjects(keys.device, merchant_id, index, body.device_token, guest.address)
    guest.state.passwords.require_room()  # before anything is counted
    found = await _try(guest, merchant_id, index, subjects)
    try:
        account, renewed = await _recognised(guest, body, found)
        return await _start(guest, body, index, account, renewed, subjects)
    except _GuessError:
        raise
    except BaseException:  # for want of a code, of room or of time
        await _uncount(guest, merchant_id, subjects)
        raise


async def browse(call: Call, _: None) -> Answer:
    """Where one is signed in."""
    user_id, session_id = call.credential.actor_id, call.credential.session_id
    async with reading(call) as tenant:
        found = await store.of_user(tenant, user_id, session_id, call.state.session_idle_s)
    return json_answer(200, SessionList(found))


async def end(call: Call, _: None) -> Answer:
    """One of one's own sessions is over, and every visit: it may have been begun there."""
    session_id = object_id(call, "session_id", "ses")
    async with configuring(call, also_suspended=True) as tenant:
        merchant_id, user_id = tenant.merchant.merchant_id, call.credential.actor_id
        if not await _end(tenant.connection, merchant_id, user_id, session_id):
            raise ProblemError(NOT_FOUND)
        await audit.record(call, tenant, "session.ended", session_id)
    return json_answer(200, SessionsEnded(1))


async def _end(
    connection: database.Connection, merchant_id: str, user_id: str, session_id: str
) -> bool:
    """Whether one of somebody's sessions went on until now; its visits are over with it."""
    ended = await store.end(connection, merchant_id, user_id, session_id)
    if ended:
        await visits.end_of(connection, merchant_id, user_id)
    return ended


async def sign_out(call: Call, _: None) -> Answer:
    """All of one's own sessions are over, this one too."""
    async with configuring(call, also_suspended=True) as tenant:
        ended = await end_all(tenant, call.credential.actor_id)
        await audit.record(call, tenant, "session.ended", call.credential.actor_id)
    return json_answer(200, SessionsEnded(ended))


async def begin_totp(call: Call, body: PasswordConfirm) -> Answer:
    """A secret for an authenticator; it counts once a code of it was right."""
    user_id, merchant_id = call.credential.actor_id, call.credential.merchant_id
    await require_password(call, body.password, "$.password")
    secret = os.urandom(TOTP_BYTES)
    sealed = sealing.seal(call.state.door_keys.totp, secret, merchant_id, user_id, "totp")
    async with writing(call, also_suspended=True) as tenant:
        if not await store.seal_totp(tenant, user_id, sealed):
            raise ProblemError(SECOND_FACTOR_REFUSED, reasons=[because(TOTP_SET_UP)])
    uri = rules.totp(secret).get_provisioning_uri(user_id, "Kafang")
    text = base64.b32encode(secret).decode("ascii")
    return json_answer(201, TotpSecret(text, uri))


async def confirm_totp(call: Call, body: TotpConfirm) -> Answer:
    """The authenticator counts from now on. Every session is over: sign in with a code."""
    user_id, merchant_id = call.credential.actor_id, call.credential.merchant_id
    codes = [rules.new_recovery_code() for _ in range(rules.RECOVERY_CODES)]
    async with configuring(call, also_suspended=True) as tenant:
        account = await store.own_account(tenant, user_id)
        if account.totp_sealed is None:
            raise ProblemError(SECOND_FACTOR_REFUSED, reasons=[because(TOTP_NOT_BEGUN)])
        step = _step(call.state.door_keys.totp, merchant_id, account, body.one_time_code)
        if step is None:
            raise ProblemError(UNPROCESSABLE, reasons=[because(CODE_WRONG, path="$.one_time_code")])
        if not await store.confirm_totp(tenant, user_id, step, account.totp_sealed):
            raise ProblemError(SECOND_FACTOR_REFUSED, reasons=[because(TOTP_SET_UP)])
        await store.void_recovery_codes(tenant.connection, merchant_id, user_id)
        for code in codes:
            code_hash = rules.recovery_hash(merchant_id, user_id, code)
            await store.add_recovery_code(tenant.connection, merchant_id, user_id, code_hash)
        await end_all(tenant, user_id)
        await audit.record(call, tenant, "user.second_factor_set", user_id)
    return json_answer(200, RecoveryCodes(codes))


async def end_second_factor(tenant: Reading, user_id: str, by: Actor) -> None:
    """Somebody's authenticator, its recovery codes and every session of theirs are over."""
    await store.end_totp(tenant, user_id)
    await store.void_recovery_codes(tenant.connection, tenant.merchant.merchant_id, user_id)
    await end_all(tenant, user_id, by)


async def require_password(call: Call, password: str, path: str) -> None:
    """Raise 422 unless it is the caller's own; an open screen isn't enough, nor is trying."""
    await _require_oneself(call, password, path)


async def require_all_factors(call: Call, password: str, path: str, code: str | None) -> None:
    """As `require_password`, and of who has an authenticator a code of it, too."""
    await _require_oneself(call, password, path, code or "")


async def _require_oneself(call: Call, password: str, path: str, code: str | None = None) -> None:
    """`code` None: it isn't asked for."""
    user_id, merchant_id = call.credential.actor_id, call.credential.merchant_id
    subjects = rules.own_subjects(call.state.door_keys.device, user_id)
    async with writing(call, also_suspended=True) as tenant:
        account = await store.own_account(tenant, user_id)
        await _count_try(tenant.connection, merchant_id, subjects)
    if not await call.state.passwords.fits(account.password_hash, password):
        raise ProblemError(UNPROCESSABLE, reasons=[because(PASSWORD_WRONG, path=path)])
    async with writing(call, also_suspended=True) as tenant:
        connection, key = tenant.connection, call.state.door_keys.totp
        asks_code = code is not None and account.has_totp
        if asks_code and not await _uses_code(key, connection, merchant_id, account, code or ""):
            reason = because(CODE_WRONG, path="$.one_time_code")
            raise ProblemError(UNPROCESSABLE, reasons=[reason])
        await store.forget_tries(connection, merchant_id, subjects)


async def require_strong(
    passwords: Passwords, password: str, known: Iterable[str], path: str = "$.password"
) -> None:
    """Raise 422 with all that is wrong with a password that somebody chose."""

    def look() -> list[Reason]:
        is_breached = passwords.is_breached(password)
        return list(accounts.why_weak(password, known, path, is_breached=is_breached))

    if reasons := await passwords.run(look):
        raise ProblemError(UNPROCESSABLE, reasons=reasons)


async def end_all(tenant: Reading, user_id: str, by: Actor | None = None) -> int:
    """Every session of somebody is over; how many went on. `by`: who ends them, if not they."""
    return await end_every(tenant.connection, tenant.merchant.merchant_id, user_id, by=by)


async def end_every(
    connection: database.Connection,
    merchant_id: str,
    user_id: str,
    but: str | None = None,
    by: Actor | None = None,
) -> int:
    """The same in a transaction that is nobody's request; `but` goes on.

    It has raised the epoch: whoever ends what others remember does that first. Of the platform's
    people their visits are over, too.
    """
    await visits.end_of(connection, merchant_id, user_id, by)
    return await store.end_others(connection, merchant_id, user_id, but)


async def _try(guest: Guest, merchant_id: str, index: bytes, subjects: Subjects) -> Account | None:
    """Whoever has the address, with one more try counted. Raises 429 when it need not be made."""
    async with database.tenant(guest.state.pool, merchant_id) as connection:
        if await store.mode(connection, merchant_id) is None:
            return None
        await _count_try(connection, merchant_id, subjects)
        return await store.account(connection, merchant_id, index)


async def _recognised(
    guest: Guest, body: SignIn, found: Account | None
) -> tuple[Account, str | None]:
    """Who knows the password, and it hashed as it is done now if it wasn't: only here it is known.

    Raises 401; also for a code of who has an authenticator and showed none.
    """
    known = found.password_hash if found and found.status == "active" else None
    fits = await guest.state.passwords.fits(known, body.password)
    if not fits or known is None or found is None:
        raise _failed(body.merchant_id, found)
    if found.has_totp and body.one_time_code is None:
        raise ProblemError(SECOND_FACTOR_NEEDED)
    renewed: str | None = None
    if is_outdated(known):
        with suppress(ProblemError):  # too many wait: next time
            renewed = await guest.state.passwords.hash(body.password)
    return found, renewed


async def _count_try(connection: database.Connection, merchant_id: str, subjects: Subjects) -> None:
    """Raise 429 when it need not be made; it is not counted then."""
    if not await store.count_tries(connection, merchant_id, subjects):
        wait_s = await store.wait_s(connection, merchant_id, subjects)
        raise ProblemError(SIGN_IN_DELAYED, headers={"Retry-After": str(wait_s)})


async def _uncount(guest: Guest, merchant_id: str, subjects: Subjects) -> None:
    async with database.tenant(guest.state.pool, merchant_id) as connection:
        await store.uncount_tries(connection, merchant_id, subjects)


async def _start(
    guest: Guest,
    body: SignIn,
    index: bytes,
    seen: Account,
    renewed: str | None,
    subjects: Subjects,
) -> Answer:
    """The session, unless somebody changed the account since its password was found right.

    What the same device began before is over with it: whoever found that token has nothing.
    """
    state, merchant_id, session_id = guest.state, body.merchant_id, new_id("ses")
    known = rules.device_of(state.door_keys.device, merchant_id, index, body.device_token)
    device = known or rules.new_device_name()
    async with database.tenant(state.pool, merchant_id) as connection:
        before = await store.of_device(connection, merchant_id, seen.user_id, device)
        if before:  # as whoever ends what others remember does, first
            await database.raise_epoch(connection, merchant_id)
        account = await store.held_account(connection, merchant_id, index)
        mode = await store.mode(connection, merchant_id)
        # The hash may be another meanwhile of the same password.
        if account is None or account.version != seen.version or mode is None:
            raise _failed(merchant_id, seen)
        key, code = state.door_keys.totp, body.one_time_code or ""
        if account.has_totp and not await _uses_code(key, connection, merchant_id, account, code):
            raise _failed(merchant_id, account)
        await store.forget_tries(connection, merchant_id, subjects)
        if renewed is not None:
            await store.renew_hash(connection, merchant_id, account.user_id, renewed)
        text = tokens.new_token(merchant_id, mode, "kfs")
        expires_at = await store.start(
            connection,
            merchant_id,
            session_id,
            account.user_id,
            tokens.hash_of(text),
            account.has_totp,
            guest.address,
            guest.device,
            state.session_s,
            device,
        )
        about = (guest, connection, merchant_id)
        for ended in before:
            if await _end(connection, merchant_id, account.user_id, ended):
                await audit.record_guest(*about, "session.ended", account.user_id, ended)
        await audit.record_guest(*about, "session.started", account.user_id, session_id)
    token = rules.device_token(state.door_keys.device, merchant_id, index, device)
    answer = SessionStarted(text, session_id, account.user_id, account.has_totp, expires_at, token)
    return json_answer(201, answer)


def _failed(merchant_id: str, account: Account | None) -> _GuessError:
    """The one answer to all who aren't let in; the log learns whose account it was."""
    user_id = account.user_id if account else None
    return _GuessError(SIGN_IN_FAILED, known={"merchant_id": merchant_id, "user_id": user_id})


def _step(key: bytes, merchant_id: str, account: Account, code: str) -> int | None:
    """The step whose code this is."""
    assert account.totp_sealed is not None
    secret = sealing.unseal(key, account.totp_sealed, merchant_id, account.user_id, "totp")
    return rules.step_of(secret, code, datetime.now(UTC))


async def _uses_code(
    key: bytes, connection: database.Connection, merchant_id: str, account: Account, code: str
) -> bool:
    """Whether it is good once, and used by that: the authenticator's, or one for recovery."""
    step, user_id = _step(key, merchant_id, account, code), account.user_id
    if step is not None and await store.use_code(connection, merchant_id, user_id, step):
        return True
    code_hash = rules.recovery_hash(merchant_id, user_id, code)
    return await store.use_recovery_code(connection, merchant_id, user_id, code_hash)
