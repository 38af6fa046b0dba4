"""The files of one embedded server: cluster, passwords, port and pid (see `embedded`)."""

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from service.kernel.embedded_site import EmbeddedError, Site, run

STOP_DEADLINE_S = 90.0
# Below the usual range of ephemeral ports: an outgoing connection must not take our port.
PORT_RANGE = range(20000, 32000)
ROLES = ("postgres", "kafang_owner", "kafang_login")


def make_cluster(site: Site) -> None:
    """Run initdb beside the final place and rename: a killed first start leaves no half cluster."""
    passwords_file = site.data_dir / "passwords.json"
    if site.cluster_dir.exists():
        if not passwords_file.exists():
            raise EmbeddedError(f"{passwords_file} is missing: restore it or move cluster/ away")
        return
    for left_over in site.data_dir.glob("cluster.new-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    # A name of its own: the initdb of a killed start may still be writing.
    fresh = site.data_dir / f"cluster.new-{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    passwords = {role: secrets.token_hex(24) for role in ROLES}
    _write_secret(passwords_file, json.dumps(passwords))
    initial = site.data_dir / "initdb.password"
    _write_secret(initial, passwords["postgres"])
    for path in (fresh, initial):
        if site.user:
            os.chown(path, site.user.user_id, site.user.group_id)
    try:
        run(site.user, [
            site.bin_dir / "initdb", "-D", fresh, "-U", "postgres", "-E", "UTF8", "--locale=C",
            "--data-checksums", "--auth=scram-sha-256", "--no-instructions", f"--pwfile={initial}",
        ])  # fmt: skip
    finally:
        initial.unlink()
    fresh.rename(site.cluster_dir)


def end_leftover(cluster_dir: Path) -> None:
    """End a server whose guardian was killed; drop a postmaster.pid that is no server's.

    Called under both locks, so nobody else may be starting one. The pid in the file may meanwhile
    be an unrelated process: PostgreSQL would then refuse to start.
    """
    pid = postmaster_pid(cluster_dir)
    wait = patience(STOP_DEADLINE_S, f"the end of the former server, process {pid}")
    if pid and _is_postmaster(pid, cluster_dir):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    while pid and _is_postmaster(pid, cluster_dir):
        wait()
    (cluster_dir / "postmaster.pid").unlink(missing_ok=True)


def pid_file(cluster_dir: Path) -> list[str]:
    try:
        text = (cluster_dir / "postmaster.pid").read_text("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line.strip() for line in text.splitlines()]


def postmaster_pid(cluster_dir: Path) -> int | None:
    first = pid_file(cluster_dir)[:1]
    return int(first[0]) if first and first[0].isdigit() else None


def _is_postmaster(pid: int, cluster_dir: Path) -> bool:
    """Return true when the process was started on this cluster; a zombie has no command line."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        if Path("/proc/self/cmdline").exists():
            return False
        ps = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
        command = subprocess.run(ps, capture_output=True, check=False).stdout  # noqa: S603
    return os.fsencode(cluster_dir) in command


def choose_port(file: Path) -> None:
    """Keep the remembered port while it is free, so that noted addresses stay true."""
    remembered = int(file.read_text("ascii")) if file.exists() else None
    if remembered is None or not is_free(remembered):
        free = (port for port in random.sample(PORT_RANGE, 200) if is_free(port))
        _write_secret(file, str(next(free)))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write_secret(file: Path, text: str) -> None:
    """Write a 0600 file whole or not at all."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.rename(file)


def patience(deadline_s: float, what: str) -> Callable[[], None]:
    """Return a function that pauses for a moment, or raises once the time is over."""
    end = time.monotonic() + deadline_s

    def wait() -> None:
        if time.monotonic() > end:
            raise EmbeddedError(f"gave up after {deadline_s:.0f} s waiting for {what}")
        threading.Event().wait(0.01)

    return wait
