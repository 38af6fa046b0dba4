"""Coalescing: requests that arrive while a commit is in flight form the next batch.

    submit ──► its lane's queue ──► settle(batch) ──► its own future

A lane is one worker task with one connection; what must not race itself (one card) always takes
the same lane. A batch holds one tenant's members only (rule 9); tenants of a lane take turns.

The lane tasks live as long as the application: there is no moment between "queue looked empty" and
"I no longer run" in which a request could be stranded (rule 8). A member's future belongs to the
member: a client that goes away cancels nobody else's, and whatever ends a batch, every member of it
is resolved.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

C = TypeVar("C")
A = TypeVar("A")


class OverloadedError(Exception):
    """The queue is full or closed; nothing was done."""


class Member(Generic[C, A]):
    """A command in a lane and the future of its answer.

    `sent`: its effect may have reached the database.
    """

    __slots__ = ("answer", "command", "sent")

    def __init__(self, command: C, answer: "asyncio.Future[A]") -> None:
        self.command = command
        self.answer = answer
        self.sent = False

    def resolve(self, answer: A) -> None:
        """Give the answer; a client that left meanwhile does not need it."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Give an error instead."""
        if not self.answer.done():
            self.answer.set_exception(error)


Settle = Callable[[int, str, list[Member[C, A]]], Awaitable[None]]
LastWord = Callable[[Member[C, A]], BaseException]


class Lanes(Generic[C, A]):
    """Queues and their worker tasks.

    `settle(lane, tenant, members)` resolves every member; `last_word(member)` is the error for one
    that it left unresolved, whatever happened.
    """

    def __init__(
        self,
        lanes: int,
        batch_max: int,
        queue_max: int,
        settle: Settle[C, A],
        last_word: LastWord[C, A],
    ) -> None:
        self._queues: list[OrderedDict[str, list[Member[C, A]]]] = [
            OrderedDict() for _ in range(lanes)
        ]
        self._wakes = [asyncio.Event() for _ in range(lanes)]
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._settle = settle
        self._last_word = last_word
        self._queued = 0
        self._closed = False
        self._tasks = [
            asyncio.create_task(self._run(lane), name=f"lane-{lane}") for lane in range(lanes)
        ]

    @property
    def queued(self) -> int:
        """Members waiting in queues."""
        return self._queued

    async def submit(self, tenant: str, lane_of: str, command: C) -> A:
        """The answer to a command.

        Raises OverloadedError, and whatever `settle` gives the member.
        """
        if self._closed or self._queued >= self._queue_max:
            raise OverloadedError
        member: Member[C, A] = Member(command, asyncio.get_running_loop().create_future())
        lane = hash((tenant, lane_of)) % len(self._queues)
        self._queued += 1
        self._queues[lane].setdefault(tenant, []).append(member)
        self._wakes[lane].set()
        return await member.answer

    async def close(self) -> None:
        """Finish what is queued, then end."""
        self._closed = True
        for wake in self._wakes:
            wake.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, lane: int) -> None:
        wake = self._wakes[lane]
        try:
            while True:
                taken = self._take(lane)
                if taken is not None:
                    await self._settle_whole(lane, *taken)
                elif self._closed:
                    return
                else:
                    wake.clear()
                    await wake.wait()
        finally:  # should it ever end by force, nobody may wait for it
            self._closed = True
            while taken := self._take(lane):
                for member in taken[1]:
                    member.fail(self._last_word(member))

    def _take(self, lane: int) -> tuple[str, list[Member[C, A]]] | None:
        queues = self._queues[lane]
        if not queues:
            return None
        tenant, waiting = queues.popitem(last=False)
        batch, rest = waiting[: self._batch_max], waiting[self._batch_max :]
        if rest:
            queues[tenant] = rest  # at the end: tenants take turns
        self._queued -= len(batch)
        return tenant, batch

    async def _settle_whole(self, lane: int, tenant: str, batch: list[Member[C, A]]) -> None:
        """Settle a batch and resolve every member, whatever happens (rule 8)."""
        cause: BaseException | None = None
        try:
            await self._settle(lane, tenant, batch)
        except asyncio.CancelledError as error:
            # Something it waited for was cancelled, not the lane: the lane goes on.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            cause = error
        except Exception as error:
            cause = error
        finally:
            for member in batch:
                if not member.answer.done():
                    word = self._last_word(member)
                    word.__cause__ = cause
                    member.fail(word)
