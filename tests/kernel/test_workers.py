"""Workers are started again when they die, given up when they can't live, and ended together."""

import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from service.kernel import workers
from tests.kernel.processes import lives, until

DEADLINE_S = 20.0
FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")

Work = Callable[[Connection], None]


def obedient(report: Connection) -> None:
    """Say the pid, and wait for the end."""
    report.send(os.getpid())
    signal.pause()


def stubborn(report: Connection) -> None:
    """Wait without listening."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        obedient(report)


def failing(report: Connection) -> None:
    """End at once."""
    report.send(os.getpid())
    sys.exit(3)


def supervisor(work: Work, report: Connection) -> None:
    """Two workers. Exit 7 when they are given up."""
    workers.END_PATIENCE_S = 1.0  # in this process only
    try:
        workers.supervise(functools.partial(work, report), 2)
    except workers.WorkersFailedError:
        sys.exit(7)


@contextmanager
def supervised(work: Work) -> Iterator[tuple[BaseProcess, Connection]]:
    """A supervisor, and what its workers report."""
    here, there = multiprocessing.Pipe()
    process = FORK.Process(target=supervisor, args=(work, there))
    process.start()
    try:
        yield process, here
    finally:
        process.kill()
        process.join()


def reported(report: Connection) -> int:
    """The pid of the next worker that begins."""
    assert report.poll(DEADLINE_S), "no worker began"
    pid: int = report.recv()
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_ended_is_started_again_however_often(number: signal.Signals) -> None:
    with supervised(obedient) as (process, report):
        running = [reported(report), reported(report)]
        for _ in range(workers.FAILURES_MAX + 2):
            os.kill(running.pop(0), number)
            running.append(reported(report))
        assert process.is_alive()
        assert len(set(running)) == 2
        assert all(map(lives, running))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("work", [obedient, stubborn])
def test_they_end_together(work: Work, number: signal.Signals) -> None:
    with supervised(work) as (process, report):
        running = [reported(report), reported(report)]
        os.kill(process.pid or 0, number)
        process.join(DEADLINE_S)
        assert process.exitcode == 0
        assert not any(map(lives, running))


def test_workers_that_can_not_live_are_given_up() -> None:
    with supervised(failing) as (process, report):
        begun = {reported(report) for _ in range(workers.FAILURES_MAX)}
        process.join(DEADLINE_S)
        assert process.exitcode == 7
        assert until(lambda: not any(map(lives, begun)), DEADLINE_S)


def test_failures_long_ago_are_forgotten() -> None:
    failures: list[float] = []
    pace_s = workers.FAILURES_WITHIN_S / (workers.FAILURES_MAX - 1)
    for number in range(10 * workers.FAILURES_MAX):
        workers._count_failure(failures, 3, number * pace_s)
    with pytest.raises(workers.WorkersFailedError, match="the last one with code 1;"):
        workers._count_failure(failures, 1, number * pace_s)
