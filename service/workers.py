"""The processes that serve, and the one that looks after them."""

import asyncio
import multiprocessing
import signal
import socket
import sys
import time
from collections import deque
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Lock
from types import FrameType
from typing import NamedTuple

import uvloop

from service import health
from service.app import create_app, declared
from service.kernel import logs
from service.kernel.gate import gated
from service.kernel.listener import listening
from service.kernel.shortcut import directly
from service.settings import Settings

STOPS = (signal.SIGINT, signal.SIGTERM)
# How often in so many seconds workers may fail by themselves before the service gives up.
FAILURES_MAX, FAILURES_WITHIN_S = 3, 60.0
# Between two workers that are replaced.
PAUSE_S = 0.5
# A little longer than a worker takes to answer what is under way.
STOP_S = 10.0
# Forked, a worker shares what is loaded already; where that is unsafe, it starts anew.
_processes = (
    multiprocessing.get_context("fork")
    if sys.platform == "linux"
    else multiprocessing.get_context("spawn")
)


class Start(NamedTuple):
    """What a worker starts with; the first of all that serves prints the greeting."""

    settings: Settings
    connections_max: int
    greeting: str
    greeted: Lock


def supervise(settings: Settings, connections_max: int, greeting: str) -> None:
    """Serve with `settings.workers` processes until SIGINT or SIGTERM; a second one ends at once.

    One that ends is replaced. Exits with 1 when they fail again and again by themselves; each has
    said why in the log.
    """
    told, tell = socket.socketpair()

    def stop(_number: int, _frame: FrameType | None) -> None:
        tell.send(b".")

    for number in STOPS:
        signal.signal(number, stop)
    start = Start(settings, connections_max, greeting, _processes.Lock())
    workers: list[BaseProcess] = []
    try:
        workers.extend(_started(start) for _ in range(settings.workers))
        _replace(workers, told, start)
    finally:
        _end(workers, told)


def _replace(workers: list[BaseProcess], told: socket.socket, start: Start) -> None:
    """Keep as many workers as there are, until told to stop."""
    failures: deque[float] = deque(maxlen=FAILURES_MAX)
    replaced_at = 0.0
    while True:
        ready = connection.wait([told, *(worker.sentinel for worker in workers)])
        if told in ready:
            told.recv(1)
            return
        for place, worker in enumerate(workers):
            if worker.is_alive():
                continue
            logs.log.error("worker ended", exit_code=worker.exitcode)
            now = time.monotonic()
            if worker.exitcode is not None and worker.exitcode > 0:
                failures.append(now)
                if len(failures) == FAILURES_MAX and now - failures[0] < FAILURES_WITHIN_S:
                    sys.exit(1)
            if now - replaced_at < PAUSE_S and connection.wait([told], PAUSE_S):
                told.recv(1)
                return
            workers[place], replaced_at = _started(start), time.monotonic()


def _end(workers: list[BaseProcess], told: socket.socket) -> None:
    """End them, by force when they take too long or when told again."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + STOP_S
    while alive := [worker for worker in workers if worker.is_alive()]:
        left = max(0.0, deadline - time.monotonic())
        ready = connection.wait([told, *(worker.sentinel for worker in alive)], left)
        if not ready or told in ready:
            for worker in alive:
                worker.kill()
            break
    for worker in workers:
        worker.join()


def _started(start: Start) -> BaseProcess:
    """A new worker. Until it knows what to do when told to stop, nobody can tell it."""
    worker = _processes.Process(target=_work, args=(start,), name="worker")
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        worker.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    return worker


def _work(start: Start) -> None:
    """One worker, from its start to its end."""
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    logs.own_process()
    try:
        uvloop.run(_serve(start))
    except Exception as error:
        logs.log.error("worker failed", exc_info=error)
        sys.exit(1)


async def _serve(start: Start) -> None:
    loop, stopped, settings = asyncio.get_running_loop(), asyncio.Event(), start.settings
    app = create_app(settings)
    async with app.lifespan():
        guests = [route.path for route in declared() if route.for_guests]
        served = gated(directly(app), app, health.PATHS, guests)
        where = settings.host, settings.port, start.connections_max, settings.certificate()
        async with listening(served, *where):
            for number in STOPS:
                loop.add_signal_handler(number, stopped.set)
            if start.greeted.acquire(block=False):  # for good
                print(start.greeting, flush=True)
            await stopped.wait()
