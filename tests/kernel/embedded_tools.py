"""What tests of the embedded server share: child processes that start it, and looking around."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg

from service.kernel import embedded

ROOT = Path(__file__).resolve().parents[2]

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
