"""What signing in does besides: old hashes are made anew, and a wait in vain is no failed try."""

import asyncio
import threading
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from schemas.sessions import SignIn
from service.kernel import database
from service.kernel.passwords import Passwords, is_outdated
from service.kernel.routes import Answer, Guest
from service.rules import accounts
from service.sessions import operations, rules, store
from tests.api.staff import Staff
from tests.harness import people

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
    passwords, go = Passwords(), threading.Event()
    state = SimpleNamespace(
        pool=staff.pool, door_keys=staff.keys, passwords=passwords, session_s=60.0
    )
    guest = Guest(state, "req_1", "203.0.113.1", None)
    body = SignIn(
        merchant_id=staff.tenant.merchant_id, email=person.email, password=people.PASSWORD
    )
    blocked = asyncio.ensure_future(passwords.run(go.wait))
    try:
        for waiting in range(2, rules.PLACE_TRIES + 4):
            await given_up(operations.sign_in(guest, body), passwords, waiting)
    finally:
        go.set()
        await blocked
    assert (await operations.sign_in(guest, body)).status == 201
    passwords.close()


async def given_up(asking: Coroutine[Any, Any, Answer], passwords: Passwords, waiting: int) -> None:
    """Its time is over while so many wait for a hash."""
    asked = asyncio.ensure_future(asking)
    while passwords._under_way < waiting:
        await asyncio.wait([asked], timeout=0.01)
        assert not asked.done(), asked.exception()
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()


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
    third = await staff.sign_in(person, device_token=first["device_token"])  # nothing goes on there
    assert third.status == 201
    async with staff.client_of(second["token"]) as own:
        assert (await own.get("/v1/me")).status == 200
