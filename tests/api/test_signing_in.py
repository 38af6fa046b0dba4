"""What signing in does besides: old hashes are made anew, and a wait in vain is no failed try."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import asyncpg
from msgspec.structs import replace

from schemas.sessions import SignIn
from service.kernel import database
from service.kernel.passwords import Passwords, is_outdated
from service.kernel.routes import Answer, Guest
from service.rules import accounts
from service.sessions import operations, rules, store
from tests.api.staff import Staff
from tests.harness import people

Until = Callable[[], Awaitable[bool]]
HELD_UP = "select exists (select from pg_locks where $1 = any (pg_blocking_pids(pid)))"
WRONG = "Seven*Lamps over 2 roofs"


async def hash_of(staff: Staff, person: people.Person) -> str:
    """What is stored of somebody's password."""
    merchant_id = staff.tenant.merchant_id
    index = accounts.email_index(staff.keys.email, merchant_id, person.email)
    async with database.tenant(staff.pool, merchant_id) as connection:
        found = await store.account(connection, merchant_id, index)
    assert found is not None
    assert found.password_hash is not None
    return found.password_hash


async def test_a_hash_of_before_is_made_anew_by_whoever_knows_the_password(staff: Staff) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    before = await hash_of(staff, person)
    assert is_outdated(before)
    assert (await staff.sign_in(person, WRONG)).status == 401
    assert await hash_of(staff, person) == before
    assert (await staff.sign_in(person)).status == 201
    renewed = await hash_of(staff, person)
    assert not is_outdated(renewed)
    assert (await staff.sign_in(person)).status == 201
    assert await hash_of(staff, person) == renewed
    shown = (await staff.boss.get(f"/v1/users/{person.user_id}")).json()
    assert shown["version"] == 2  # nobody's page is out of date by that


async def test_what_took_too_long_is_no_failed_try(staff: Staff) -> None:
    """Negative control: counted, the last try is told to wait."""
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    guest, body = asked_by(staff, person)
    passwords, go = guest.state.passwords, threading.Event()
    blocked = asyncio.ensure_future(passwords.run(go.wait))
    try:
        for waiting in range(2, rules.PLACE_TRIES + 4):
            await given_up(operations.sign_in(guest, body), until_hashing(passwords, waiting))
    finally:
        go.set()
        await blocked
    assert (await operations.sign_in(guest, body)).status == 201
    passwords.close()


async def test_nor_is_what_waited_too_long_after_its_password_was_right(staff: Staff) -> None:
    """Negative control: with what follows the hash outside of it, the last try is told to wait."""
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    guest, body = asked_by(staff, person)
    merchant_id = staff.tenant.merchant_id
    index = accounts.email_index(staff.keys.email, merchant_id, person.email)
    ours = await database.open_pool(staff.postgres.app_dsn, 2)
    async with database.tenant(ours, merchant_id) as connection:
        await store.held_account(connection, merchant_id, index)
        for _ in range(rules.PLACE_TRIES + 2):
            await given_up(operations.sign_in(guest, body), until_held_up(ours, connection))
    await ours.close()
    assert (await operations.sign_in(guest, body)).status == 201
    guest.state.passwords.close()


def asked_by(staff: Staff, person: people.Person) -> tuple[Guest, SignIn]:
    """What somebody asks for who knows their password."""
    state = SimpleNamespace(
        pool=staff.pool, door_keys=staff.keys, passwords=Passwords(), session_s=60.0
    )
    merchant_id = staff.tenant.merchant_id
    body = SignIn(merchant_id=merchant_id, email=person.email, password=people.PASSWORD)
    return Guest(state, "req_1", "203.0.113.1", None), body


def until_hashing(passwords: Passwords, waiting: int) -> Until:
    """Until so many wait for a hash."""

    async def come() -> bool:
        return passwords._under_way >= waiting

    return come


def until_held_up(pool: database.Pool, holder: database.Connection) -> Until:
    """Until somebody waits for what this connection holds."""
    pid = holder.get_server_pid()

    async def come() -> bool:
        return bool(await pool.fetchval(HELD_UP, pid))

    return come


async def given_up(asking: Coroutine[Any, Any, Answer], come: Until) -> None:
    """Its time is over once it has come to that."""
    asked = asyncio.ensure_future(asking)
    while not await come():
        await asyncio.wait([asked], timeout=0.01)
        assert not asked.done(), asked.exception()
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled() or isinstance(asked.exception(), asyncpg.InterfaceError)


async def test_a_device_has_one_session_at_a_time(staff: Staff) -> None:
    """Negative control: without it the first token reads on beside the second."""
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    first = (await staff.sign_in(person)).json()
    elsewhere = (await staff.sign_in(person)).json()
    second = (await staff.sign_in(person, device_token=first["device_token"])).json()
    for token, status in ((first["token"], 401), (elsewhere["token"], 200), (second["token"], 200)):
        async with staff.client_of(token) as own:
            assert (await own.get("/v1/me")).status == status
    path = f"/v1/audit-entries?object_id={first['session_id']}&action=session.ended"
    [entry] = (await staff.boss.get(path)).json()["data"]
    assert entry["actor"]["id"] == person.user_id
    third = await staff.sign_in(person, device_token=first["device_token"])
    assert third.json()["device_token"] == first["device_token"]  # it is the same device
    async with staff.client_of(second["token"]) as own:
        assert (await own.get("/v1/me")).status == 401


async def test_who_signs_in_twice_at_once_is_let_in_twice(staff: Staff) -> None:
    """Negative control: with the hash compared, all but the first who renews it are told 401."""
    for _ in range(5):
        person = await staff.hired("cashier", staff.tenant.store_ids[0])
        answers = await asyncio.gather(*[alone(staff, person) for _ in range(4)])
        assert answers == [201] * 4


async def alone(staff: Staff, person: people.Person) -> int:
    """The answer to somebody who signs in on a line of their own."""
    async with staff.client_of("") as guest:
        return (await replace(staff, guest=guest).sign_in(person)).status
