"""A real Kafang, as `make run` starts it: supervisor, workers and PostgreSQL as processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from service.kernel import embedded
from service.kernel.embedded_cluster import is_free

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "openapi" / "openapi.json"
READY_S = 60.0
PORTS = range(10_000, 20_000)


class Server(Struct):
    """A running service. `embedded` tells where its own PostgreSQL listens."""

    process: "subprocess.Popen[bytes]"
    port: int
    data_dir: Path
    log: Path

    @property
    def host(self) -> str:
        """Loopback."""
        return "127.0.0.1"

    @property
    def base_url(self) -> str:
        """Where it serves."""
        return f"http://{self.host}:{self.port}"

    @property
    def postgres(self) -> embedded.Server:
        """Its PostgreSQL, joined (not owned): DSNs and the postmaster's pid."""
        return embedded.start(self.data_dir)

    def workers(self) -> list[int]:
        """Pids of the worker processes now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()]
        return [pid for pid in pids if _is_worker(pid)]

    def demo(self) -> dict[str, str]:
        """The demo tenant's facts and keys."""
        facts: dict[str, str] = json.loads((self.data_dir / "demo.json").read_text("utf-8"))
        facts["pos_key"] = (self.data_dir / "demo_pos_key").read_text("ascii")
        facts["merchant_key"] = (self.data_dir / "demo_merchant_key").read_text("ascii")
        return facts


def _is_worker(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return False
    return bool(command) and b"embedded_guard" not in command


def start(
    data_dir: Path,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Server:
    """Start in `cwd` and wait until it is ready. `settings` are KAFANG_ environment variables."""
    port = port or free_port()
    log = data_dir / "service.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "run"],
            cwd=cwd,
            env=_environment(data_dir, port, settings or {}),
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    server = Server(process, port, data_dir, log)
    try:
        wait_ready(server)
    except BaseException:
        stop(server)
        raise
    return server


def command(
    data_dir: Path, port: int, *arguments: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command of the service to its end, on this folder's database unless settings say."""
    return command_in(ROOT, data_dir, port, *arguments, **settings)


def command_in(
    cwd: Path, data_dir: Path, port: int, *arguments: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """The same of the version that lies in `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=cwd,
        env=_environment(data_dir, port, settings),
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )


def _environment(data_dir: Path, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    # Its settings are what the test says, and how much tests do is no setting of its.
    own = ("DATABASE_URL", "KAFANG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {"KAFANG_DATA_DIR": str(data_dir), "KAFANG_PORT": str(port), **settings}


def wait_ready(server: Server) -> None:
    """Wait until it answers that it can serve.

    Raises RuntimeError with its log when it ends instead, or takes longer than READY_S.
    """
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{_tail(server.log)}")
        try:
            url = f"{server.base_url}/health/ready"
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)  # polling with a deadline
    raise RuntimeError(f"not ready after {READY_S} s:\n{_tail(server.log)}")


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-4000:]


def stop(server: Server, timeout_s: float = 30.0) -> int:
    """End it as Ctrl-C does, and wait."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGINT)
    try:
        return server.process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        server.process.kill()
        return server.process.wait()


@contextmanager
def running(settings: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Iterator[Server]:
    """A fresh server in a folder of its own that goes away with it."""
    with TemporaryDirectory(prefix="kafang-test-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets inside are 0600
        server = start(Path(folder), settings=settings, cwd=cwd)
        try:
            yield server
        finally:
            stop(server)


def free_port() -> int:
    """A port nobody listens on now, and no outgoing connection takes while a server restarts."""
    return next(port for port in random.sample(PORTS, len(PORTS)) if is_free(port))
