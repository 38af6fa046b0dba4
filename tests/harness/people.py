"""People of a test: signed in at once, without a password's time."""

import os
from pathlib import Path

from msgspec import Struct

from service.kernel import database, tokens
from service.kernel.ids import new_id
from service.kernel.permissions import PERMISSIONS
from service.kernel.routes import Route
from service.ledger.door import Keys
from service.rules import accounts
from service.sessions import store as sessions
from service.users import store as users
from tests.harness.server import Server

DOMAIN = "qinghe.example"
PASSWORD = "Teal-Heron.49 naps"
# Of PASSWORD, with next to no work.
PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$bm90IHNlY3JldCBhdCBhbGw$y/SUh/65C1K1OkV1HJkVGA"
SESSION_S = 3600.0


class Person(Struct):
    """Somebody who works at a merchant, and the token of a session of theirs."""

    user_id: str
    email: str
    token: str
    session_id: str


def keys_of(data_dir: Path) -> Keys:
    """What the service in this folder derives from its secret."""
    return Keys.of(bytes.fromhex((data_dir / "secret_key").read_text()))


async def hire(
    pool: database.Pool,
    keys: Keys,
    merchant_id: str,
    role: str,
    node_id: str | None = None,
    *,
    second_factor: bool = True,
) -> Person:
    """Somebody with a role at the merchant or at a place in it, signed in."""
    user_id, email = new_id("usr"), f"p{os.urandom(6).hex()}@{DOMAIN}"
    index = accounts.email_index(keys.email, merchant_id, email)
    async with database.tenant(pool, merchant_id) as connection:
        await users.insert(connection, merchant_id, user_id, index, f"p***@{DOMAIN}")
        await users.set_password(connection, merchant_id, user_id, PASSWORD_HASH)
        place = node_id or merchant_id
        await users.give(connection, merchant_id, new_id("grt"), user_id, role, place, "operator")
    return await sign_in(pool, merchant_id, user_id, email, second_factor=second_factor)


async def owner_of(server: Server, merchant_id: str) -> Person:
    """A new owner of a merchant."""
    pool = await database.open_pool(server.postgres.app_dsn, 1)
    try:
        return await hire(pool, keys_of(server.data_dir), merchant_id, "owner")
    finally:
        await pool.close()


async def sign_in(
    pool: database.Pool, merchant_id: str, user_id: str, email: str = "", *, second_factor: bool
) -> Person:
    """One more session of somebody."""
    session_id, token = new_id("ses"), tokens.new_token(merchant_id, "test", "kfs")
    async with database.tenant(pool, merchant_id) as connection:
        await sessions.start(
            connection,
            merchant_id,
            session_id,
            user_id,
            tokens.hash_of(token),
            second_factor,
            None,
            "test",
            SESSION_S,
        )
    return Person(user_id, email, token, session_id)


def is_for_people(route: Route) -> bool:
    """Whether an API key is never enough for it."""
    return bool(route.scope) and "keys" not in PERMISSIONS[route.scope].of
