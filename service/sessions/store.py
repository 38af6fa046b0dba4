"""Sessions as rows, and who failed to begin one."""

from datetime import datetime

from msgspec import Struct

from schemas.sessions import Session
from schemas.users import UserStatus
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.sessions import rules


class Account(Struct):
    """As much of somebody as signing in needs."""

    user_id: str
    status: UserStatus
    version: int
    password_hash: str | None
    totp_sealed: bytes | None
    has_totp: bool


async def mode(connection: database.Connection, merchant_id: str) -> str | None:
    """Whether the tenant is a test or a live one; None when there is none."""
    value: str | None = await connection.fetchval(SQL["sessions.mode"], merchant_id)
    return value


async def account(
    connection: database.Connection, merchant_id: str, email_index: bytes
) -> Account | None:
    """Whoever has this address."""
    return await database.one(connection, "sessions.account", Account, merchant_id, email_index)


async def held_account(
    connection: database.Connection, merchant_id: str, email_index: bytes
) -> Account | None:
    """The same, unchanged until the end of the transaction."""
    return await database.one(
        connection, "sessions.held_account", Account, merchant_id, email_index
    )


async def own_account(tenant: Reading, user_id: str) -> Account:
    """Somebody who is signed in."""
    found = await database.one(
        tenant.connection, "sessions.own_account", Account, tenant.merchant.merchant_id, user_id
    )
    assert found is not None
    return found


async def renew_hash(
    connection: database.Connection, merchant_id: str, user_id: str, password_hash: str
) -> None:
    """Another hash of the same password."""
    await connection.execute(SQL["sessions.renew_hash"], merchant_id, user_id, password_hash)


async def count_tries(
    connection: database.Connection, merchant_id: str, subjects: list[tuple[bytes, int]]
) -> bool:
    """Count one more try of each; False when one of them need not try now."""
    for subject, tries in sorted(subjects):
        counted = await connection.fetchval(
            SQL["sessions.count_failure"], merchant_id, subject, tries, rules.WAIT_MAX_S
        )
        if counted is None:
            return False
    return True


async def wait_s(
    connection: database.Connection, merchant_id: str, subjects: list[tuple[bytes, int]]
) -> int:
    """For how many seconds they need not try."""
    names = [subject for subject, _ in subjects]
    waits: int | None = await connection.fetchval(SQL["sessions.blocked"], merchant_id, names)
    return waits or 1


async def uncount_tries(
    connection: database.Connection, merchant_id: str, subjects: list[tuple[bytes, int]]
) -> None:
    """It wasn't looked at."""
    names = [subject for subject, _ in subjects]
    await connection.execute(SQL["sessions.uncount_failure"], merchant_id, names)


async def forget_tries(
    connection: database.Connection, merchant_id: str, subjects: list[tuple[bytes, int]]
) -> None:
    """It was somebody who knows the password."""
    names = [subject for subject, _ in subjects]
    await connection.execute(SQL["sessions.forget_failures"], merchant_id, names)


async def start(
    connection: database.Connection,
    merchant_id: str,
    session_id: str,
    user_id: str,
    secret_hash: bytes,
    second_factor: bool,
    address: str | None,
    device: str | None,
    good_for_s: float,
    device_name: str | None = None,
) -> datetime:
    """A new session, and when it is over at the latest."""
    expires_at: datetime = await connection.fetchval(
        SQL["sessions.start"],
        merchant_id,
        session_id,
        user_id,
        secret_hash,
        second_factor,
        address,
        device,
        good_for_s,
        device_name,
    )
    return expires_at


async def of_device(
    connection: database.Connection, merchant_id: str, user_id: str, device_name: str
) -> list[str]:
    """The sessions that somebody began on this device and that go on."""
    rows = await connection.fetch(SQL["sessions.of_device"], merchant_id, user_id, device_name)
    return [row[0] for row in rows]


async def of_user(
    tenant: Reading, user_id: str, session_id: str | None, idle_s: float
) -> list[Session]:
    """Where somebody is signed in, newest first."""
    return await database.many(
        tenant.connection,
        "sessions.of_user",
        Session,
        tenant.merchant.merchant_id,
        user_id,
        session_id,
        idle_s,
    )


async def end(
    connection: database.Connection, merchant_id: str, user_id: str, session_id: str
) -> bool:
    """Whether this was one of theirs, and went on."""
    ended = await connection.fetchval(SQL["sessions.end"], merchant_id, user_id, session_id)
    return ended is not None


async def end_others(
    connection: database.Connection, merchant_id: str, user_id: str, but: str | None
) -> int:
    """How many ended: all but one, or (None) all."""
    told = await connection.execute(SQL["sessions.end_others"], merchant_id, user_id, but)
    return int(told.rpartition(" ")[2])


async def use_code(
    connection: database.Connection, merchant_id: str, user_id: str, step: int
) -> bool:
    """Whether this step's code was good still."""
    used = await connection.fetchval(SQL["sessions.use_code"], merchant_id, user_id, step)
    return used is not None


async def seal_totp(tenant: Reading, user_id: str, sealed: bytes) -> bool:
    """Whether there was no authenticator."""
    done = await tenant.connection.fetchval(
        SQL["sessions.seal_totp"], tenant.merchant.merchant_id, user_id, sealed
    )
    return done is not None


async def confirm_totp(tenant: Reading, user_id: str, step: int, sealed: bytes) -> bool:
    """Whether there was one to be confirmed."""
    done = await tenant.connection.fetchval(
        SQL["sessions.confirm_totp"], tenant.merchant.merchant_id, user_id, step, sealed
    )
    return done is not None


async def end_totp(tenant: Reading, user_id: str) -> None:
    """The authenticator is good no more."""
    await tenant.connection.execute(SQL["sessions.end_totp"], tenant.merchant.merchant_id, user_id)


async def add_recovery_code(
    connection: database.Connection, merchant_id: str, user_id: str, code_hash: bytes
) -> None:
    """One that is good once."""
    await connection.execute(SQL["sessions.add_recovery_code"], merchant_id, code_hash, user_id)


async def use_recovery_code(
    connection: database.Connection, merchant_id: str, user_id: str, code_hash: bytes
) -> bool:
    """Whether it was good still."""
    used = await connection.fetchval(
        SQL["sessions.use_recovery_code"], merchant_id, code_hash, user_id
    )
    return used is not None


async def void_recovery_codes(
    connection: database.Connection, merchant_id: str, user_id: str
) -> None:
    """Those before are good no more."""
    await connection.execute(SQL["sessions.void_recovery_codes"], merchant_id, user_id)
