"""Guardian process of the embedded PostgreSQL: parent, restarter and end of the postmaster.

`embedded.start` runs this file by path as a child in its own session. Standard input is the control
pipe whose write end only the starter holds:

    READY   the starter reached the server; from now on a postmaster that dies is started again
    STOP    stop PostgreSQL and exit
    EOF     the starter ended, however that came about: the same as STOP

Three nets keep a server from outliving its starter: the pipe, a look at the parent's pid (a forked
sibling may hold a copy of the pipe) and, on Linux, the parent-death signal on the postmaster.
Only the standard library is used: the process starts in milliseconds and imports nothing of ours.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

READY = b"r"
STOP = b"q"
STOPPING_MARK = b"stopping"

POLL_S = 0.2
BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 5.0
STABLE_AFTER_S = 30.0
ORPHANS_END_S = 10.0
LOG_BYTES_MAX = 10 * 1024 * 1024
# Fast shutdown writes a checkpoint and may take its time; the harder ways follow only after that.
STOP_LADDER = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Job(NamedTuple):
    """What to guard: passed as JSON in the only argument."""

    command: list[str]
    starter_pid: int
    lock_fd: int  # inherited, already locked: the lock lives as long as this process
    log_path: str
    user_id: int | None  # None: the postmaster runs as the guardian's own user
    group_id: int | None


def main(argument: str) -> int:
    """Guard until told to stop. Returns 0 after a stop, 1 when PostgreSQL never got ready."""
    job = Job(**json.loads(argument))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN: the postmaster would inherit "ignored". Our end is the starter's.
        signal.signal(number, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return _guard(job)


def _guard(job: Job) -> int:
    postmaster, started_at = _spawn(job), time.monotonic()
    ready, backoff_s = False, BACKOFF_MIN_S
    while True:
        order = _order(job.starter_pid, POLL_S)
        if order == STOP:
            os.pwrite(job.lock_fd, STOPPING_MARK, 0)
            _stop(postmaster)
            return 0
        ready = ready or order == READY
        _bound_log(Path(job.log_path))
        if not _ended(postmaster):
            continue
        if not ready:
            return 1
        if time.monotonic() - started_at > STABLE_AFTER_S:
            backoff_s = BACKOFF_MIN_S
        _say(f"postmaster {postmaster.pid} ended, next start in {backoff_s:.2f} s")
        _end_orphans()
        if _order(job.starter_pid, backoff_s) == STOP:
            return 0
        backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
        postmaster, started_at = _spawn(job), time.monotonic()


def _order(starter_pid: int, wait_s: float) -> bytes:
    """Return the starter's newest order within `wait_s`, or nothing; its end counts as STOP."""
    readable, _, _ = select.select([0], [], [], wait_s)
    data = os.read(0, 64) if readable else READY[:0]
    if (readable and not data) or STOP in data or os.getppid() != starter_pid:
        return STOP
    return data[-1:]


def _spawn(job: Job) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # the starter's own command, no shell
        job.command,
        stdin=subprocess.DEVNULL,
        cwd="/",
        user=job.user_id,
        group=job.group_id,
        extra_groups=None if job.user_id is None else [],
        # Runs after the change of user, which would clear the signal again.
        preexec_fn=_end_with(os.getpid()),
    )


def _end_with(guardian_pid: int) -> Callable[[], None]:
    def in_child() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != guardian_pid:  # the guardian ended before the signal was armed
            os._exit(1)

    return in_child


def _stop(postmaster: subprocess.Popen[bytes]) -> None:
    for number, patience_s in STOP_LADDER:
        if not _ended(postmaster):
            postmaster.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                postmaster.wait(patience_s)
    _end_orphans()


def _ended(postmaster: subprocess.Popen[bytes]) -> bool:
    return postmaster.poll() is not None


def _end_orphans() -> None:
    """Kill and reap the backends of a dead postmaster: a busy one would keep the memory segment.

    Without their postmaster they are lost anyhow; what they committed is in the write-ahead log.
    """
    deadline = time.monotonic() + ORPHANS_END_S
    while (orphans := _children()) and time.monotonic() < deadline:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    """Return the pids of our children; as a subreaper (Linux) we inherit orphaned backends."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text("latin-1").rpartition(")")[2].split()[1]
            if parent == str(os.getpid()):
                found.append(int(stat.parent.name))
    return found


def _bound_log(log: Path) -> None:
    """Keep one older part. PostgreSQL appends, so the file may be cut under it."""
    with contextlib.suppress(OSError):  # a full disk must not end the guardian
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _say(text: str) -> None:
    print(f"guardian [{os.getpid()}]: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
