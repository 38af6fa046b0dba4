"""Keys that wrap keys: what opens what, who keeps them, and that a destroyed one is gone."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from service.kernel import embedded, keks
from service.kernel.keks import KekMissingError
from service.kernel.key_store import FileKeys, KeyStore, KeyStoreError, key_store
from service.kernel.keyring import Keyring, PersonKey, WrongStoreError
from tests.harness.keys import keyring_on

MERCHANT, OTHER = "mer_1", "mer_2"
PERSON, SOMEBODY = "mbr_1", "mbr_2"
OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
Open = Callable[[], Awaitable[KeyStore]]


@pytest.fixture(name="opened", params=["file", "postgres"])
async def _opened(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: embedded.Server
) -> AsyncIterator[Open]:
    """How to open one store, again and again."""
    name = f"keys_{secrets.token_hex(6)}"
    owner = await asyncpg.connect(postgres.admin_dsn)
    await owner.execute(f"create database {name}")
    url = postgres.admin_dsn.replace("/postgres?", f"/{name}?")
    stores: list[KeyStore] = []

    async def open_it() -> KeyStore:
        stores.append(key_store(url if request.param == "postgres" else "", str(tmp_path)))
        await stores[-1].prepare()
        return stores[-1]

    yield open_it
    for store in stores:
        await store.close()
    await owner.execute(f"drop database {name}")
    await owner.close()


@pytest.fixture(name="keyring")
async def _keyring(opened: Open) -> Keyring:
    return keyring_on(await opened(), OLD)


async def had(keyring: Keyring, person: str = PERSON, key_no: int = 1) -> PersonKey:
    """A key that is there."""
    found = await keyring.of(MERCHANT, person, key_no)
    assert found is not None
    return found


async def test_a_key_is_the_same_for_every_process_and_opens_its_own_place(
    keyring: Keyring, opened: Open
) -> None:
    key = await keyring.make(MERCHANT, PERSON)
    sealed = key.seal("phone", "+8613800138000")
    assert b"13800138000" not in sealed
    again = keyring_on(await opened(), OLD)
    assert (await had(again)).unseal("phone", sealed) == "+8613800138000"
    assert (await again.make(MERCHANT, PERSON)) == key, "who has one keeps it"
    assert key.seal("phone", "x") != key.seal("phone", "x"), "a nonce of its own each time"


async def test_what_is_put_elsewhere_or_changed_doesnt_open(keyring: Keyring) -> None:
    key = await keyring.make(MERCHANT, PERSON)
    somebody = await keyring.make(MERCHANT, SOMEBODY)
    elsewhere = await keyring.make(OTHER, PERSON)
    await keyring.begin(MERCHANT, 0)
    later = await keyring.make(MERCHANT, PERSON)
    sealed = key.seal("phone", "+8613800138000")
    for other in (somebody, elsewhere, later):
        with pytest.raises(ValueError, match="isn't what was sealed here"):
            other.unseal("phone", sealed)
    with pytest.raises(ValueError, match="isn't what was sealed here"):
        key.unseal("name", sealed)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ValueError, match="isn't what was sealed here"):
            key.unseal("phone", bytes(changed))


async def test_swapped_rows_of_the_key_store_open_nothing(keyring: Keyring) -> None:
    """Somebody who writes the store can't give one person's key to another."""
    await keyring.make(MERCHANT, PERSON)
    rows = await keyring._fetch("of_owner", MERCHANT, PERSON)
    await keyring._write(("put", [(MERCHANT, SOMEBODY, 1, "", rows[0][3])]))
    with pytest.raises(ValueError, match="isn't what was sealed here"):
        await keyring.of(MERCHANT, SOMEBODY, 1)


async def test_a_store_that_was_emptied_is_no_store_of_keys_that_are_remembered(
    keyring: Keyring, opened: Open
) -> None:
    """A worker that knew the keys of before must not wrap new ones by them."""
    await keyring.make(MERCHANT, PERSON)
    await keyring._write(("destroy_one", [(MERCHANT, owner, 1) for owner in (MERCHANT, PERSON)]))
    key = await keyring.make(MERCHANT, PERSON)
    assert await had(keyring_on(await opened(), OLD)) == key


async def test_all_who_begin_at_once_have_one_key(opened: Open) -> None:
    rings = [keyring_on(await opened(), OLD) for _ in range(4)]
    made = await asyncio.gather(*[ring.make(MERCHANT, PERSON) for ring in rings * 5])
    assert len(set(made)) == 1


async def test_who_is_forgotten_has_no_key_and_stays_forgotten(keyring: Keyring) -> None:
    await keyring.make(MERCHANT, PERSON)
    await keyring.make(MERCHANT, SOMEBODY)
    await keyring.remember(MERCHANT, SOMEBODY)
    await keyring.forget(MERCHANT, PERSON)
    assert await keyring.of(MERCHANT, PERSON, 1) is None
    assert await keyring.of(MERCHANT, SOMEBODY, 1) is not None
    told = [(PERSON, True), (SOMEBODY, False)]
    assert await keyring.forgotten(MERCHANT, "") == told
    await keyring.remember(MERCHANT, PERSON)
    await keyring.begin(MERCHANT, 0)
    await keyring.destroy_older(MERCHANT, 2)
    assert await keyring.of(MERCHANT, SOMEBODY, 1) is None
    assert await keyring.forgotten(MERCHANT, "") == told, "also when its number is over"
    assert await keyring.forgotten(MERCHANT, PERSON) == told[1:]


async def test_a_number_that_the_ledger_knows_isnt_begun_again(keyring: Keyring) -> None:
    """As with a store that was put back to before a rotation."""
    await keyring.make(MERCHANT, PERSON)
    assert await keyring.begin(MERCHANT, 0) == 2
    assert await keyring.begin(MERCHANT, 7) == 8


async def test_another_ledgers_store_is_not_used(opened: Open) -> None:
    async def claim(_: bytes) -> bytes:
        return b"the one before"

    other = Keyring(keks.parse(OLD), await opened(), claim)
    for asked in (other.make(MERCHANT, PERSON), other.check(), other.forget(MERCHANT, PERSON)):
        with pytest.raises(WrongStoreError):
            await asked


async def test_a_new_kek_takes_over_and_the_old_one_goes(opened: Open) -> None:
    before = keyring_on(await opened(), OLD)
    key = await before.make(MERCHANT, PERSON)
    both = keyring_on(await opened(), f"{NEW},{OLD}")
    assert await both.rewrap() == 1
    assert await both.rewrap() == 0
    after = keyring_on(await opened(), NEW)
    await after.check()
    assert await had(after) == key
    lost = keyring_on(await opened(), OLD)
    for asked in (lost.check(), lost.of(MERCHANT, PERSON, 1)):
        with pytest.raises(KekMissingError, match=keks.parse(NEW).current):
            await asked


async def test_a_commitment_shows_nothing_and_proves_the_field(keyring: Keyring) -> None:
    key, somebody = await keyring.make(MERCHANT, PERSON), await keyring.make(MERCHANT, SOMEBODY)
    told = key.commitment("name", "张伟")
    assert told == (await had(keyring)).commitment("name", "张伟")
    others = (key.commitment("name", "张玮"), key.commitment("phone", "张伟"))
    assert told not in (*others, somebody.commitment("name", "张伟"))


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "0" * 63, f"{'0' * 64};{'1' * 64}"])
def test_what_is_no_kek_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal characters") as refused:
        keks.parse(text)
    assert not text or text not in str(refused.value)


def test_nobody_reads_a_key_in_a_log() -> None:
    found = keks.parse(f"{NEW},{OLD}")
    shown = repr(found) + repr(PersonKey(MERCHANT, PERSON, 1, b"secret key"))
    assert "secret key" not in shown
    assert not any(key.hex() in shown or repr(key) in shown for key in found.by_id.values())


@asynccontextmanager
async def file_store(file: Path) -> AsyncIterator[FileKeys]:
    """A store in a file."""
    store = FileKeys(file)
    yield store
    await store.close()


async def test_what_is_destroyed_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "person_keys.db"
    wrapped = b"wrapped " + secrets.token_bytes(40)
    async with file_store(file) as store:
        await store.write(("put", [(MERCHANT, PERSON, 1, "", wrapped)]))
        assert wrapped in file.read_bytes()
        await store.write(("destroy_owner", [(MERCHANT, PERSON)]))
    assert all(wrapped not in each.read_bytes() for each in tmp_path.iterdir())
    assert file.stat().st_mode & 0o077 == 0


async def test_all_rows_of_a_write_are_there_or_none(tmp_path: Path) -> None:
    async with file_store(tmp_path / "keys.db") as store:
        rows = [(MERCHANT, PERSON, 1, "", b"1"), (MERCHANT, SOMEBODY, 0, "", b"breaks the check")]
        with pytest.raises(KeyStoreError):
            await store.write(("put", rows))
        assert await store.fetch("of_owner", MERCHANT, PERSON) == []


async def test_what_is_given_up_isnt_done_later(tmp_path: Path) -> None:
    """Whoever asked was told that it took too long, and may have decided otherwise since."""
    file = tmp_path / "keys.db"
    async with file_store(file) as store:
        await store.write(("put", [(MERCHANT, PERSON, 1, "", b"1")]))
        other = sqlite3.connect(file)
        other.execute("begin exclusive")
        asked = asyncio.create_task(store.write(("destroy_owner", [(MERCHANT, PERSON)])))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        other.rollback()
        other.close()
        assert len(await store.fetch("of_owner", MERCHANT, PERSON)) == 1


@pytest.mark.parametrize("content", [b"not a database, certainly not one" * 100, None])
async def test_a_store_that_is_broken_is_no_fault_of_ours(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "keys.db"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    store = FileKeys(file)
    for asked in (store.prepare(), store.fetch("wrapped_by"), store.write(("put", []))):
        with pytest.raises(KeyStoreError):
            await asked


async def test_a_database_that_is_away_or_lacks_the_tables_is_no_fault_of_ours(
    postgres: embedded.Server,
) -> None:
    nowhere = key_store("postgresql://nobody@127.0.0.1:1/none", "")
    bare = key_store(postgres.app_dsn, "")
    for store in (nowhere, bare):
        with pytest.raises(KeyStoreError):
            await store.fetch("wrapped_by")
        await store.close()
