"""A restore to an instant holds what was acknowledged before it, and nothing sent after it.

`python -m tests.restore` is the long version of the first test. THREAT-T24.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from service.kernel import embedded, embedded_backup
from service.kernel.embedded_site import EmbeddedError
from tests.crash.journal import Entry
from tests.crash.tables import KeyRow, Tables
from tests.harness import server as servers
from tests.ledger import scratch
from tests.restore import marks
from tests.restore.drill import Plan, Run, run
from tests.restore.marks import Mark

MUCH = "create table much as select n from generate_series(1, 2000000) n"


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kafang-restore-") as name:
        os.chmod(name, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets are 0600
        yield Path(name)


async def test_each_instant_holds_what_was_answered_before_it(folder: Path) -> None:
    load = await run(folder, Plan(2, "small"))
    assert load.findings == []
    for point in load.points:
        assert point.answered > 200, "or nothing is proven"
        assert point.later > 20
        control(load, point.mark, -0.1, "a key that no client sent")
        control(load, point.mark, 0.1, "its key is not in the tables")


def control(load: Run, mark: Mark, shift_s: float, expected: str) -> None:
    """Negative control: held against another instant, the same tables are wrong."""
    (point,) = (point for point in load.points if point.mark == mark)
    other = replace(mark, before=mark.before + shift_s, after=mark.after + shift_s)
    found = marks.check(load.journal, load.reads, point.tables, load.hash_of, other)
    assert any(expected in finding.detail for finding in found), shift_s


@pytest.mark.parametrize(("outcome", "right"), [("tombstone", True), ("accepted", False)])
def test_a_key_may_be_blocked_before_its_request_is_sent(outcome: str, right: bool) -> None:
    """A reversal that overtakes its request leaves a row under a key that was not sent yet."""
    target = Entry("redeem", "overtaken", "/v1/redemptions", {}, invoked_at=3.0, returned_at=4.0)
    undo = Entry("reversal", "undo", "/v1/reversals", {}, target=target)
    undo.invoked_at, undo.returned_at = 1.0, 3.0
    mark = Mark(2.0, datetime.now(UTC), 2.1)
    row = KeyRow(b"overtaken", outcome, None, 409, None)
    tables = Tables({row.key_hash: row}, {}, [])
    found = marks.check([undo, target], [], tables, str.encode, mark)
    assert (found == []) is right
    undo.target = None
    assert marks.check([undo, target], [], tables, str.encode, mark), "nobody sent that key"


async def asked(dsn: str, question: str) -> str:
    """The one value that is the answer, as text."""
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval(question))
    finally:
        await connection.close()


async def table_exists(server: embedded.Server) -> bool:
    """Whether the table that the test makes is there."""
    return await asked(server.owner_dsn, "select to_regclass('later')") == "later"


@pytest.mark.parametrize("archived", [True, False])
async def test_without_an_instant_the_end_of_the_log_is_restored(
    folder: Path, archived: bool
) -> None:
    """What the archive has not got yet comes from the former database, which is set aside."""
    data_dir, archive = folder / "data", str(folder / "archive") if archived else ""
    with embedded.running(data_dir, embedded_backup.archiving(data_dir, archive)) as server:
        assert embedded_backup.backup(server, folder / "backup").archive is archived
        # With an archive, a log that takes its time: who serves too soon finds no table.
        more = [MUCH] if archived else []
        await scratch.execute(server.owner_dsn, *more, "create table later ()")
    restored = embedded_backup.restore(data_dir, folder / "backup", archive, None)
    assert restored.set_aside
    assert (Path(restored.set_aside) / "cluster").is_dir()
    with embedded.running(data_dir) as server:
        assert await table_exists(server)


async def test_a_gap_in_the_log_is_no_end_of_it(folder: Path) -> None:
    """Without an archive the server has used the files after the backup again."""
    data_dir = folder / "data"
    with embedded.running(data_dir) as server:
        embedded_backup.backup(server, folder / "backup")
        await scratch.execute(server.owner_dsn, MUCH, "create table later ()")
    with pytest.raises(EmbeddedError, match="does not lead from this backup to the end"):
        embedded_backup.restore(data_dir, folder / "backup", "", None)
    assert not list(data_dir.glob("before-*"))
    with embedded.running(data_dir) as server:
        assert await table_exists(server)


async def test_what_can_not_be_restored_changes_nothing(folder: Path) -> None:
    data_dir, copy = folder / "data", folder / "backup"
    with embedded.running(data_dir) as server:
        embedded_backup.backup(server, copy)
        await scratch.execute(server.owner_dsn, "create table later ()")
        with pytest.raises(EmbeddedError, match="runs: stop Kafang first"):
            embedded_backup.restore(data_dir, copy, "", None)
        with pytest.raises(EmbeddedError, match="a backup gets a folder of its own"):
            embedded_backup.backup(server, copy)
    late = Mark.now().at.replace(year=2100)
    with pytest.raises(EmbeddedError, match="nothing in the log is as late as 2100"):
        embedded_backup.restore(data_dir, copy, "", late)
    with pytest.raises(EmbeddedError, match="holds no backup"):
        embedded_backup.restore(data_dir, folder, "", None)
    (copy / "cluster" / "PG_VERSION").write_text("17\n0", "ascii")
    with pytest.raises(EmbeddedError, match="PG_VERSION"):
        embedded_backup.restore(data_dir, copy, "", None)
    assert not list(data_dir.glob("before-*"))
    with embedded.running(data_dir) as server:
        assert await table_exists(server)


async def test_an_archive_that_does_not_take_the_log_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never writes over what another database has left there."""
    monkeypatch.setattr(embedded_backup, "ARCHIVE_DEADLINE_S", 1.0)
    data_dir, archive = folder / "data", folder / "archive %d 'x'"
    settings = embedded_backup.archiving(data_dir, str(archive))
    with embedded.running(data_dir, settings) as server:
        for _ in range(3):  # also when nothing was written in between
            assert embedded_backup.fill_archive(server)
        first = {file.name: file.stat().st_size for file in archive.iterdir()}
        assert set(first.values()) == {16 * 1024 * 1024}
        last = await asked(server.admin_dsn, "select pg_walfile_name(pg_switch_wal() - 1)")
        following = f"{int(last, 16) + 1:024X}"
        (archive / following).write_bytes(b"of another database")
        await scratch.execute(server.owner_dsn, "create table later ()")
        with pytest.raises(EmbeddedError, match=rf"the archive did not take {following} in 1 s"):
            embedded_backup.fill_archive(server)
    assert (archive / following).read_bytes() == b"of another database"


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["backup", "x"], {"DATABASE_URL": "postgresql:///x"}, "use PostgreSQL's own commands"),
        (
            ["migrate"],
            {"DATABASE_URL": "postgresql:///x", "KAFANG_ARCHIVE_DIR": "x"},
            "KAFANG_ARCHIVE_DIR is for Kafang's own PostgreSQL",
        ),
        (["restore", "x", "--to", "2026-11-22T13:05:00"], {}, "give one with its zone"),
    ],
)
async def test_wrong_use_is_told(
    folder: Path, arguments: list[str], settings: dict[str, str], message: str
) -> None:
    done = await asyncio.to_thread(
        servers.command, folder, servers.free_port(), *arguments, **settings
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
