"""A worker process ends when its supervisor is killed, and only because it watches."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.kernel.orphan import end_with_supervisor

DEADLINE_S = 10.0
FORK = multiprocessing.get_context("fork")


def supervisor(report: Connection, watches: bool) -> None:
    """Start a worker as the service does, then wait for the end."""
    child = FORK.Process(target=worker, args=(report, watches))
    child.start()
    child.join()


def worker(report: Connection, watches: bool) -> None:
    """Say the pid, once watching has begun."""
    if watches:
        end_with_supervisor()
    report.send(os.getpid())
    signal.pause()


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("watches", [True, False], ids=["watching", "control"])
def test_a_worker_ends_with_its_supervisor(watches: bool) -> None:
    here, there = multiprocessing.Pipe()
    parent = FORK.Process(target=supervisor, args=(there, watches))
    parent.start()
    pid: int = here.recv()
    assert lives(pid)
    try:
        parent.kill()
        parent.join()
        ended = until(lambda: not lives(pid), DEADLINE_S if watches else 1.0)
        assert ended is watches
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_process_without_supervisor_goes_on() -> None:
    end_with_supervisor()
    assert lives(os.getpid())
