"""Passwords: hashed slowly, few at a time, and never in the way of what else is served.

argon2id with what OWASP recommends (7 MiB and five passes, as strong as 19 MiB and two, and out of
the way of the processor's caches). A worker hashes in one thread that gives way to everything else
on the machine, and a bounded number wait for it: a flood of sign-ins is
turned away with 503, whatever memory and time it wanted. Who has hung up keeps their place until
their hash is done, or a client could have as many as it can open connections (THREAT-T19).
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.kernel.breaches import Breaches
from service.kernel.problems import OVERLOADED, ProblemError

T = TypeVar("T")
WAITING_MAX = 32
_hasher = PasswordHasher(time_cost=5, memory_cost=7_168, parallelism=1)
# Whoever has no account takes as long as who has one.
_NOBODYS = _hasher.hash(os.urandom(16).hex())


class Passwords:
    """What a worker hashes with."""

    def __init__(self, waiting_max: int = WAITING_MAX, breaches: Breaches | None = None) -> None:
        self._breaches = breaches
        self._thread = ThreadPoolExecutor(1, "passwords", initializer=_give_way)
        self._waiting_max = waiting_max
        self._under_way = 0

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """What is stored of a password. Raises 503 when too many wait."""
        return await self.run(lambda: _hasher.hash(password))

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; without a hash never, after the same time. Raises 503."""
        right = await self.run(lambda: _verified(password_hash or _NOBODYS, password))
        return right and password_hash is not None

    def is_breached(self, password: str) -> bool:
        """Whether others know it; False where no file says so. It reads a disk: use `run`."""
        return self._breaches is not None and self._breaches.has(password)

    def require_room(self) -> None:
        """Raise 503 when too many wait."""
        if self._under_way >= self._waiting_max:
            raise ProblemError(OVERLOADED)

    async def run(self, work: Callable[[], T]) -> T:
        """Do what takes long, where hashing is done. Raises 503 when too many wait."""
        self.require_room()
        self._under_way += 1
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done.add_done_callback(self._leave)
        return await asyncio.shield(done)

    def _leave(self, _: object) -> None:
        self._under_way -= 1


def is_outdated(password_hash: str) -> bool:
    """Whether it was made otherwise than it would be now."""
    return _hasher.check_needs_rehash(password_hash)


def _verified(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _give_way() -> None:
    """On Linux a thread has a policy of its own: this one has what nobody else wants."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
