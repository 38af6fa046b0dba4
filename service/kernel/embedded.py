"""Our own PostgreSQL for a machine that has none: start, find again, stop (design section 5).

    data_dir/
      cluster/          the PostgreSQL data directory, owned by the user the server runs as
      passwords.json    0600, made once
      port              chosen once, chosen again only when something else listens there
      server.log        what PostgreSQL and the guardian have to say, at most 2 x 10 MB
      start.lock        held while somebody starts
      guardian.lock     held by the guardian: as long as it is held, the server has an owner

The process that calls `start` first owns the server. PostgreSQL is a child of `embedded_guard`,
which stops it when the owner stops it or ends in any way, and starts it again when it dies. Whoever
calls `start` while there is an owner gets the same server and has no say in its end. POSIX only.
"""

import asyncio
import atexit
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import asyncpg
import msgspec

from service.kernel import embedded_guard as guard
from service.kernel.embedded_cluster import (
    ROLES,
    STOP_DEADLINE_S,
    choose_port,
    end_leftover,
    is_free,
    make_cluster,
    patience,
    pid_file,
    postmaster_pid,
)
from service.kernel.embedded_site import EmbeddedError, Site, environment, find_site
from service.kernel.memory import memory_bytes
from service.kernel.sql import SQL

START_DEADLINE_S = 600.0  # crash recovery after a kill under load replays up to max_wal_size

SETTINGS = MappingProxyType(
    {
        "max_connections": "200",
        # Pages leave the buffers, and then the kernel's, in a steady trickle: what the kernel has
        # held for 30 s it writes all at once, and no commit gets past 300 MB of that.
        "bgwriter_delay": "50ms",
        "bgwriter_lru_maxpages": "1000",
        "bgwriter_flush_after": "128kB",
        "backend_flush_after": "128kB",
        # After a checkpoint each page goes to the log whole once; of a million cards that is 2 GB.
        # Twice that is between two; a crash replays them, and at worst nearly all of this: 75 s.
        "max_wal_size": "8GB",
        # Keep log files to use again after a quiet night: making one stops commits for 60 ms.
        "min_wal_size": "5GB",
        "checkpoint_timeout": "15min",
        # Rows sampled of a table that has grown by a tenth: on a young ledger that is every minute.
        # What serves tills goes by whole keys and needs none; reports can do with a quarter.
        "default_statistics_target": "25",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        # An error's first line names the rule it broke. What follows would quote the row, the
        # statement and its parameters: card numbers. The service is told all of it, and redacts.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
)
_FIXED = ("listen_addresses", "port", "unix_socket_directories")

T = TypeVar("T")

_owned: dict[Path, subprocess.Popen[bytes]] = {}


class Server(msgspec.Struct, frozen=True):
    """A server that answers. `owned` is false when another caller started it and will stop it."""

    data_dir: Path  # may differ from the one asked for, see embedded_site
    port: int
    admin_dsn: str  # superuser postgres, database postgres: for tests and repairs only
    owner_dsn: str  # kafang_owner owns the database kafang, no superuser: for migrations
    app_dsn: str  # kafang_login, member of kafang_app, owns nothing: for the service
    owned: bool

    def __repr__(self) -> str:
        """Leave the passwords out of logs."""
        return f"Server({str(self.data_dir)!r}, port={self.port}, owned={self.owned})"

    @property
    def postmaster_pid(self) -> int | None:
        """Pid of the server process now; it changes when the guardian had to start it again."""
        return postmaster_pid(self.data_dir / "cluster")


def buffers(memory: int) -> str:
    """How much of so many bytes of memory holds pages: a quarter, from 128 MB to 8 GB.

    A redemption touches seven pages of its card's; what isn't here is read and written each time.
    """
    return f"{min(max(memory // 4 // 2**20, 128), 8192)}MB"


def start(
    data_dir: Path,
    settings: Mapping[str, str] = MappingProxyType({}),
    place: Callable[[Site], None] | None = None,
    deadline_s: float = START_DEADLINE_S,
) -> Server:
    """Start the server of `data_dir`, made on first use, or join the one that runs.

    Blocks until a connection works, `deadline_s` at most. `settings` are postgresql.conf names and
    values; they count only when this call starts the server. `place` puts another cluster there
    first, and then there must be nothing to join. Raises EmbeddedError with what to do about it.
    """
    if wrong := sorted(set(settings) & set(_FIXED)):
        raise EmbeddedError(f"not for the caller to set: {', '.join(wrong)}")
    site = find_site(data_dir)
    with _start_lock(site.data_dir):
        lock_fd = _take_over(site)
        if lock_fd is None:
            if place:
                raise EmbeddedError(f"the server in {site.data_dir} runs: stop Kafang first")
            return _server(site, owned=False)
        try:
            end_leftover(site.cluster_dir)
            (place or make_cluster)(site)
            ours = {"shared_buffers": buffers(memory_bytes()), **SETTINGS}
            return _launch(site, lock_fd, {**ours, **settings}, deadline_s)
        finally:
            os.close(lock_fd)  # the guardian holds its own copy


def stop(server: Server) -> None:
    """Stop the server, open transactions rolled back, if this process owns it; else do nothing."""
    if server.owned and (guardian := _owned.pop(server.data_dir, None)):
        _end(guardian)


@contextlib.contextmanager
def running(data_dir: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """`start` and, at the end, `stop`."""
    server = start(data_dir, settings)
    try:
        yield server
    finally:
        stop(server)


@contextlib.contextmanager
def temporary(settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """A fresh server in a directory of its own that is removed at the end: for tests and tools."""
    with tempfile.TemporaryDirectory(prefix="kafang-pg-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103  # the user the server runs as must enter; secrets are 0600
        with running(Path(folder), settings) as server:
            yield server


@contextlib.contextmanager
def _start_lock(data_dir: Path) -> Iterator[None]:
    lock_fd = _open_lock(data_dir / "start.lock")
    wait = patience(START_DEADLINE_S, f"the end of another start in {data_dir}")
    try:
        while not _locks(lock_fd):
            wait()
        yield
    finally:
        os.close(lock_fd)


def _take_over(site: Site) -> int | None:
    """Return the locked guardian.lock, or None when a living owner's server answers."""
    lock_fd = _open_lock(site.data_dir / "guardian.lock")
    wait = patience(START_DEADLINE_S, f"the server in {site.data_dir}, owned by another process")
    try:
        while not _locks(lock_fd):
            stopping = os.pread(lock_fd, 64, 0) == guard.STOPPING_MARK
            if not stopping and _is_ready(_server(site, owned=False)):
                os.close(lock_fd)
                return None
            wait()
        os.truncate(lock_fd, 0)
    except BaseException:
        os.close(lock_fd)
        raise
    return lock_fd


def _launch(site: Site, lock_fd: int, settings: Mapping[str, str], deadline_s: float) -> Server:
    for _ in range(5):
        choose_port(site.data_dir / "port")
        server = _server(site, owned=True)
        guardian = _spawn_guardian(site, server.port, lock_fd, settings)
        try:
            if _gets_ready(server, guardian, deadline_s):
                in_thread(_set_up, server)
                _tell(guardian, guard.READY)
                _owned[site.data_dir] = guardian
                return server
        except BaseException:
            _end(guardian)
            raise
        _end(guardian)
        if is_free(server.port):
            break  # it was something else than a port taken between our look and its start
    log = (site.data_dir / "server.log").read_text("utf-8", "replace")
    raise EmbeddedError("PostgreSQL doesn't start:\n" + "\n".join(log.splitlines()[-15:]))


def _gets_ready(server: Server, guardian: subprocess.Popen[bytes], deadline_s: float) -> bool:
    wait = patience(deadline_s, f"PostgreSQL in {server.data_dir}, see server.log there")
    while guardian.poll() is None:
        if _is_ready(server):
            return True
        wait()
    return False


def _spawn_guardian(
    site: Site, port: int, lock_fd: int, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    fixed = dict(zip(_FIXED, ("127.0.0.1", str(port), ""), strict=True))
    options = [f"--{name}={value}" for name, value in {**settings, **fixed}.items()]
    log_path = site.data_dir / "server.log"
    job = guard.Job(
        command=[str(site.bin_dir / "postgres"), "-D", str(site.cluster_dir), *options],
        starter_pid=os.getpid(),
        lock_fd=lock_fd,
        log_path=str(log_path),
        user_id=site.user and site.user.user_id,
        group_id=site.user and site.user.group_id,
    )
    log_fd = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603  # our own file
            [sys.executable, "-I", "-S", guard.__file__, json.dumps(job._asdict())],
            stdin=subprocess.PIPE,  # the control pipe: Python makes it non-inheritable
            stdout=log_fd,
            stderr=log_fd,
            bufsize=0,
            pass_fds=[lock_fd],
            start_new_session=True,  # Ctrl-C in a terminal reaches the service first
            cwd="/",
            env=environment(),
        )
    finally:
        os.close(log_fd)


def _tell(guardian: subprocess.Popen[bytes], order: bytes) -> None:
    if guardian.stdin:
        guardian.stdin.write(order)


def _end(guardian: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        _tell(guardian, guard.STOP)
    if guardian.stdin:
        guardian.stdin.close()
    try:
        guardian.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()


def _end_all() -> None:
    for data_dir in list(_owned):
        _end(_owned.pop(data_dir))


def _disown() -> None:
    """In a forked child: let go of the pipe, or the server would outlive the parent."""
    for guardian in _owned.values():
        if guardian.stdin:
            guardian.stdin.close()
        guardian.returncode = 0  # not this process's child: nothing to wait for
    _owned.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_disown)


def _server(site: Site, *, owned: bool) -> Server:
    port = int((site.data_dir / "port").read_text("ascii"))
    passwords = json.loads((site.data_dir / "passwords.json").read_text("ascii"))
    admin, owner, app = (
        # The server has no TLS; asking for it would cost a round trip on each connection.
        f"postgresql://{role}:{passwords[role]}@127.0.0.1:{port}/{database}?sslmode=disable"
        for role, database in zip(ROLES, ("postgres", "kafang", "kafang"), strict=True)
    )
    return Server(site.data_dir, port, admin, owner, app, owned)


def _is_ready(server: Server) -> bool:
    """Return true when a real connection works; the status line alone may be a dead server's."""
    lines = pid_file(server.data_dir / "cluster")
    return lines[-1:] == ["ready"] and in_thread(_connects, server)


async def _connects(server: Server) -> bool:
    try:
        connection = await asyncpg.connect(server.admin_dsn, timeout=5)
    except asyncpg.InvalidPasswordError as error:
        raise EmbeddedError(f"{server.data_dir}/passwords.json isn't this cluster's") from error
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def _set_up(server: Server) -> None:
    """Make roles and database where they are missing; each step may be repeated."""
    passwords = json.loads((server.data_dir / "passwords.json").read_text("ascii"))
    connection = await asyncpg.connect(server.admin_dsn)
    try:
        for role in ROLES[1:]:
            await connection.execute(
                SQL["embedded.set_password"], f"kafang.{role}_password", passwords[role]
            )
        await connection.execute(SQL["embedded.create_roles"])
        if not await connection.fetchval(SQL["embedded.database_exists"]):
            await connection.execute(SQL["embedded.create_database"])
    finally:
        await connection.close()


def in_thread(work: Callable[[Server], Coroutine[Any, Any, T]], server: Server) -> T:
    """Run a coroutine to its end even when the caller's thread has a running loop (tests)."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(work(server))).result()


def _open_lock(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)


def _locks(lock_fd: int) -> bool:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
