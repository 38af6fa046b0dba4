"""The migration runner on scratch databases, with migrations of the tests' own."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from service.kernel import embedded, migrations
from service.kernel.migrations import LOCK_KEY, MigrationError, migrate, pending, read_steps
from service.kernel.sql import SQL

TABLE = "create table thing (id int primary key, name text);\ninsert into thing values (1, 'a');\n"
FUNCTION = (
    "create or replace function answer_v1() returns int\n"
    "language plpgsql as $$\nbegin\n  return {};\nend $$;\n"
)
PROCEDURE = (
    "create or replace procedure work_v1()\n"
    "language plpgsql as $$\nbegin\n  delete from thing;\n  commit;\nend $$;\n"
)
INDEX = (
    "-- migrate: no-transaction\n-- Names are searched for.\n"
    "create {}index concurrently if not exists thing_name on thing (name);\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.Server]:
    with embedded.temporary() as started:
        yield started


@pytest.fixture
async def dsn(server: embedded.Server) -> AsyncIterator[str]:
    """The owner's address of an empty database."""
    name = f"scratch_{uuid4().hex}"
    admin = await asyncpg.connect(server.admin_dsn)
    await admin.execute(f"create database {name} owner kafang_owner")
    yield server.owner_dsn.replace("/kafang?", f"/{name}?")
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one migration and one function."""
    write(tmp_path, "migrations/0001_thing.sql", TABLE)
    write(tmp_path, "functions/answer_v1.sql", FUNCTION.format(1))
    return tmp_path


@pytest.fixture
def newer(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version after `source`: one more migration, one function changed, one added."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(source, folder, dirs_exist_ok=True)
    write(folder, "migrations/0002_more.sql", "alter table thing add column more text;")
    write(folder, "functions/answer_v1.sql", FUNCTION.format(2))
    write(folder, "functions/answer_v2.sql", FUNCTION.format(3).replace("_v1", "_v2"))
    return folder


def write(source: Path, path: str, text: str) -> None:
    (source / path).parent.mkdir(exist_ok=True)
    (source / path).write_text(text, "utf-8", newline="")


async def test_files_are_applied_once_and_in_order(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    everything = ["migrations/0001_thing.sql", "functions/answer_v1.sql"]
    assert await pending(db, source) == everything
    assert await migrate(dsn, source) == everything
    assert await pending(db, source) == []
    assert await migrate(dsn, source) == []
    write(source, "migrations/0010_more.sql", "insert into thing values (10, 'j');")
    write(source, "migrations/0009_more.sql", "insert into thing values (9, 'i');")
    assert await migrate(dsn, source) == ["migrations/0009_more.sql", "migrations/0010_more.sql"]
    assert [row["id"] for row in await db.fetch("select id from thing")] == [1, 9, 10]


async def test_a_changed_function_is_applied_again(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    await migrate(dsn, source)
    write(source, "functions/answer_v1.sql", FUNCTION.format(2))
    assert await pending(db, source) == ["functions/answer_v1.sql"]
    assert await migrate(dsn, source) == ["functions/answer_v1.sql"]
    assert await db.fetchval("select answer_v1()") == 2


async def test_a_function_that_went_and_came_back_is_applied_again(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    await migrate(dsn, source)
    (source / "functions/answer_v1.sql").unlink()
    write(source, "migrations/0002_drop.sql", "drop function answer_v1();")
    assert await migrate(dsn, source) == ["migrations/0002_drop.sql"]
    write(source, "functions/answer_v1.sql", FUNCTION.format(1))
    assert await migrate(dsn, source) == ["functions/answer_v1.sql"]
    assert await db.fetchval("select answer_v1()") == 1


async def test_line_ends_are_no_edit(dsn: str, source: Path) -> None:
    await migrate(dsn, source)
    write(source, "migrations/0001_thing.sql", TABLE.replace("\n", "\r\n"))
    assert await migrate(dsn, source) == []


async def test_an_edited_and_a_missing_file_are_both_named(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    write(source, "migrations/0002_more.sql", "insert into thing values (2, 'b');")
    await migrate(dsn, source)
    write(source, "migrations/0001_thing.sql", TABLE + "-- one more word\n")
    (source / "migrations/0002_more.sql").unlink()
    write(source, "migrations/0003_later.sql", "insert into thing values (3, 'c');")
    for attempt in (migrate(dsn, source), pending(db, source)):
        with pytest.raises(MigrationError) as caught:
            await attempt
        assert str(caught.value) == (
            "migrations/0001_thing.sql: was edited after it was applied, restore it\n"
            "migrations/0002_more.sql: was applied and is missing, restore the file"
        )
    assert await db.fetchval("select count(*) from thing") == 2, "nothing was applied"


async def test_a_latecomer_is_refused(dsn: str, source: Path) -> None:
    write(source, "migrations/0005_more.sql", "insert into thing values (5, 'e');")
    await migrate(dsn, source)
    write(source, "migrations/0004_late.sql", "insert into thing values (4, 'd');")
    with pytest.raises(MigrationError, match=r"0004_late.sql: comes before the applied 0005_more"):
        await migrate(dsn, source)


async def test_a_newer_schema_serves_the_version_before(
    dsn: str, db: asyncpg.Connection, source: Path, newer: Path
) -> None:
    """An upgrade without downtime: the old version may start again, and takes nothing back."""
    await migrate(dsn, source)
    assert await migrate(dsn, newer) == [
        "migrations/0002_more.sql", "functions/answer_v1.sql", "functions/answer_v2.sql",
    ]  # fmt: skip
    assert await pending(db, source) == []
    assert await migrate(dsn, source) == []
    assert await db.fetchval("select answer_v1()") == 2, "the newer text stays"
    assert await migrate(dsn, newer) == [], "nothing was forgotten"


async def test_a_newer_schema_hides_no_edit(dsn: str, source: Path, newer: Path) -> None:
    await migrate(dsn, newer)
    write(source, "migrations/0001_thing.sql", TABLE + "-- one more word\n")
    with pytest.raises(MigrationError, match=r"^migrations/0001_thing.sql: was edited after"):
        await migrate(dsn, source)


async def test_what_was_taken_away_is_told_to_who_needs_it(
    dsn: str,
    db: asyncpg.Connection,
    source: Path,
    newer: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """0003 says that who knows 0002 can do without; the version with 0001 alone can't."""
    await migrate(dsn, source)
    contract = tmp_path_factory.mktemp("contract")
    shutil.copytree(newer, contract, dirs_exist_ok=True)
    write(contract, "migrations/0003_contract_0002_name.sql", "alter table thing drop name;")
    await migrate(dsn, contract)
    assert await pending(db, newer) == []
    assert await pending(db, contract) == []
    for attempt in (migrate(dsn, source), pending(db, source)):
        with pytest.raises(MigrationError) as caught:
            await attempt
        assert str(caught.value) == (
            "migrations/0003_contract_0002_name.sql: took away what this version needs; "
            "start one with migration 0002 or later"
        )


async def test_a_failing_file_leaves_nothing_behind(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    bad = "create table half (id int);\ninsert into thing values (2, 'b');\nselect no_column;\n"
    write(source, "migrations/0002_bad.sql", bad)
    write(source, "migrations/0003_good.sql", "insert into thing values (3, 'c');")
    with pytest.raises(MigrationError, match=r"migrations/0002_bad.sql:3: .*no_column"):
        await migrate(dsn, source)
    assert await db.fetchval("select to_regclass('half')") is None
    assert await db.fetchval("select array_agg(id) from thing") == [1]
    assert await pending(db, source) == [
        "migrations/0002_bad.sql", "migrations/0003_good.sql", "functions/answer_v1.sql",
    ]  # fmt: skip
    write(source, "migrations/0002_bad.sql", "insert into thing values (2, 'b');")
    assert len(await migrate(dsn, source)) == 3


async def test_a_file_and_its_bookkeeping_are_one_transaction(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    unrecordable = (
        "create table half (id int);\n"
        "alter table schema_migration add check (name not like '0002%');\n"
    )
    write(source, "migrations/0002_half.sql", unrecordable)
    with pytest.raises(MigrationError, match=r"0002_half.sql: .*check constraint"):
        await migrate(dsn, source)
    assert await db.fetchval("select to_regclass('half')") is None
    assert "migrations/0002_half.sql" in await pending(db, source)


async def test_settings_of_one_file_are_not_the_next_ones(dsn: str, source: Path) -> None:
    write(source, "migrations/0002_set.sql", "set search_path = pg_catalog; set role none;")
    write(source, "migrations/0003_use.sql", "insert into thing values (3, 'c');")
    assert len(await migrate(dsn, source)) == 4


@pytest.mark.parametrize("_round", range(3))
async def test_of_three_starts_at_once_one_applies(
    dsn: str, db: asyncpg.Connection, source: Path, _round: int
) -> None:
    write(source, "migrations/0002_index.sql", INDEX.format("unique "))
    applied = await asyncio.gather(*(migrate(dsn, source) for _ in range(3)))
    assert sorted(map(len, applied)) == [0, 0, 3]
    assert await db.fetchval("select count(*) from thing") == 1


async def test_the_wait_for_the_lock_ends(dsn: str, db: asyncpg.Connection, source: Path) -> None:
    assert await db.fetchval(SQL["migrations.try_lock"], LOCK_KEY)
    with pytest.raises(MigrationError, match="another migration holds the lock"):
        await migrate(dsn, source, lock_deadline_s=0.2)
    assert await pending(db, source) == ["migrations/0001_thing.sql", "functions/answer_v1.sql"]


async def test_a_locked_table_is_not_waited_for_without_end(
    dsn: str, db: asyncpg.Connection, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "300ms")
    await migrate(dsn, source)
    write(source, "migrations/0002_alter.sql", "alter table thing add column more text;")
    async with db.transaction():
        await db.fetch("select * from thing")
        with pytest.raises(MigrationError, match=r"0002_alter.sql: .*lock timeout"):
            await asyncio.wait_for(migrate(dsn, source), 30)
    assert await migrate(dsn, source) == ["migrations/0002_alter.sql"]


async def test_a_broken_index_build_is_replaced(
    dsn: str, db: asyncpg.Connection, source: Path
) -> None:
    write(source, "migrations/0002_twice.sql", "insert into thing values (2, 'a');")
    write(source, "migrations/0003_index.sql", INDEX.format("unique "))
    valid = "select indisvalid from pg_index where indexrelid = to_regclass('thing_name')"
    with pytest.raises(MigrationError, match=r"0003_index.sql: could not create unique index"):
        await migrate(dsn, source)
    assert await db.fetchval(valid) is False
    await db.execute("delete from thing where id = 2")
    assert "migrations/0003_index.sql" in await migrate(dsn, source)
    assert await db.fetchval(valid) is True


async def test_an_index_build_outwaits_the_lock_timeout(
    dsn: str, db: asyncpg.Connection, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "300ms")
    await migrate(dsn, source)
    write(source, "migrations/0002_index.sql", INDEX.format(""))
    transaction = db.transaction()
    await transaction.start()
    await db.execute("insert into thing values (2, 'b')")
    building = asyncio.create_task(migrate(dsn, source))
    done, _ = await asyncio.wait({building}, timeout=1)
    assert not done
    await transaction.commit()
    assert await building == ["migrations/0002_index.sql"]


def test_a_procedure_may_commit(source: Path) -> None:
    write(source, "functions/work.sql", PROCEDURE)
    assert len(read_steps(source)) == 3


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("migrations/0002_x.sql", "commit;\nselect 1;", "0002_x.sql: begin, commit and rollback"),
        ("functions/work.sql", PROCEDURE + "commit;", "functions/work.sql: begin, commit and"),
        ("migrations/0002_x.sql", "  START transaction ;", "runner's business"),
        ("migrations/0002_x.sql", "-- migrate: no-transaction\nselect 1", "only one statement"),
        ("migrations/0002_x.sql", INDEX.format("") + "select 1;", "only one statement"),
        ("migrations/0002_x.sql", INDEX.format("").replace("if not exists", ""), "if not exists"),
        ("migrations/0001_other.sql", "select 1", "number 0001 is given twice"),
        ("migrations/2_x.sql", "select 1", "migrations/2_x.sql: the name must be like"),
        ("functions/Answer.sql", "select 1", "functions/Answer.sql: the name must be like"),
        ("migrations/0002_contract_x.sql", "select 1", "must be like NNNN_contract_MMMM_what.sql"),
        ("migrations/0002_contract_0002_x.sql", "select 1", "0002 is not before 0002"),
    ],
)
def test_a_malformed_source_is_refused(source: Path, path: str, text: str, message: str) -> None:
    assert len(read_steps(source)) == 2
    write(source, path, text)
    with pytest.raises(MigrationError, match=message):
        read_steps(source)


async def test_our_own_migrations_apply_from_zero(dsn: str, db: asyncpg.Connection) -> None:
    applied = await migrate(dsn)
    assert applied[0].startswith("migrations/0001_")
    assert await migrate(dsn) == await pending(db) == []
