"""A worker process ends when its supervisor is killed, and only because it watches."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.kernel.orphan import end_with_supervisor
from tests.kernel.processes import lives, until

DEADLINE_S = 10.0
FORK = multiprocessing.get_context("fork")


def supervisor(report: Connection, watches: bool) -> None:
    """Start a worker, then wait for the end."""
    child = FORK.Process(target=worker, args=(report, watches))
    child.start()
    child.join()


def worker(report: Connection, watches: bool) -> None:
    """Say the pid, once watching has begun."""
    if watches:
        end_with_supervisor()
    report.send(os.getpid())
    signal.pause()


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
