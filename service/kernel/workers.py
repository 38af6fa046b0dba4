"""The worker processes of a service: started, started again when they die, ended together."""

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from types import FrameType

from service.kernel.orphan import end_with_supervisor

POLL_S = 0.2
# A worker that is told to end and doesn't is killed after so long.
END_PATIENCE_S = 10.0
# How often in so many seconds workers may fail by themselves: they couldn't start, mostly.
FAILURES_MAX, FAILURES_WITHIN_S = 3, 60.0
# Forked where that is possible: what the supervisor has imported, no worker imports again.
_CONTEXT: ForkContext | SpawnContext = (
    multiprocessing.get_context("fork")
    if "fork" in multiprocessing.get_all_start_methods()
    else multiprocessing.get_context("spawn")
)

Work = Callable[[], None]


class WorkersFailedError(RuntimeError):
    """Workers failed again and again; their own words are in the log."""


def supervise(work: Work, workers: int) -> None:
    """Run `work` in so many processes until SIGINT or SIGTERM, then end them all.

    One that was killed, or asked to end, is started again, always. Raises WorkersFailedError when
    they fail by themselves too often.
    """
    with _told_to_stop() as stop:
        running = [_start(work) for _ in range(workers)]
        failures: list[float] = []
        try:
            while not stop.is_set():
                ended = wait([process.sentinel for process in running], POLL_S)
                if ended and not stop.is_set():
                    running = [_successor(process, work, failures) for process in running]
        finally:
            _end(running)


def _successor(process: BaseProcess, work: Work, failures: list[float]) -> BaseProcess:
    """The process itself while it lives, else a new one."""
    if process.exitcode is None:
        return process
    if process.exitcode > 0:
        _count_failure(failures, process.exitcode, time.monotonic())
    return _start(work)


def _count_failure(failures: list[float], code: int, now: float) -> None:
    failures[:] = [at for at in failures if now - at < FAILURES_WITHIN_S] + [now]
    if len(failures) >= FAILURES_MAX:
        raise WorkersFailedError(
            f"workers failed {len(failures)} times within {FAILURES_WITHIN_S:.0f} s, "
            f"the last one with code {code}; see the log"
        )


def _start(work: Work) -> BaseProcess:
    process = _CONTEXT.Process(target=_run, args=(work,))
    process.start()
    return process


def _run(work: Work) -> None:
    """In the worker. Until its server listens to signals itself, they end it quietly."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    end_with_supervisor()
    work()


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _end(running: list[BaseProcess]) -> None:
    for process in running:
        process.terminate()
    deadline = time.monotonic() + END_PATIENCE_S
    for process in running:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
