"""Coalescing: requests that arrive while a commit is in flight form the next batch.

    submit ──► its tenant's queue ──► a lane: settle(batches) ──► its own future

A lane is one worker task with one connection. A batch holds one tenant's members only (rule 9), and
tenants take turns; a lane takes the batches of several at once when they wait, so that small ones
share the way to the database. While a tenant has a batch in flight, what else arrives for it waits
and makes the next one larger: a commit costs nearly the same however much it carries, so a second
at its side would only make both smaller. There is a second only while the one in flight is slow; it
leaves out what the one in flight is about, so nothing (one card) ever races itself. Lanes are kept
busy by different tenants, and of several lanes one is idle until another is slow.

The lane tasks live as long as the application: there is no moment between "queue looked empty" and
"I no longer run" in which a request could be stranded (rule 8). A member's future belongs to the
member: a client that goes away cancels nobody else's, and whatever ends a batch, every member of it
is resolved.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import chain, islice
from typing import Generic, TypeVar

C = TypeVar("C")
A = TypeVar("A")

# A batch takes milliseconds. One that takes this long waits for something (a lock, a lost server)
# that its tenant's other requests need not wait for.
SLOW_S = 0.1


class OverloadedError(Exception):
    """The queue is full or closed; nothing was done."""


class Member(Generic[C, A]):
    """A command in the queue and the future of its answer.

    `subject`: what must not race itself. `sent`: what its effect would be called, for each attempt
    that may have reached the database.
    """

    __slots__ = ("answer", "command", "sent", "subject")

    def __init__(self, command: C, answer: "asyncio.Future[A]", subject: str = "") -> None:
        self.command = command
        self.answer = answer
        self.subject = subject
        self.sent: frozenset[str] = frozenset()

    def resolve(self, answer: A) -> None:
        """Give the answer; a client that left meanwhile does not need it."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Give an error instead."""
        if not self.answer.done():
            self.answer.set_exception(error)


# The batches a lane settles at once, by tenant.
Batches = dict[str, list[Member[C, A]]]
Settle = Callable[[int, Batches[C, A]], Awaitable[None]]
LastWord = Callable[[Member[C, A]], BaseException]


class _Flight(Generic[C, A]):
    """What a lane is settling."""

    __slots__ = ("batches", "slow", "timer")

    def __init__(self, batches: Batches[C, A]) -> None:
        self.batches = batches
        self.slow = False
        self.timer: asyncio.TimerHandle | None = None

    def subjects(self, tenant: str) -> set[str]:
        """What it is still about, so that cards that have been answered don't wait for others."""
        return {member.subject for member in self.batches[tenant] if _open(member)}

    def about(self, tenant: str) -> bool:
        """Whether it is still about a tenant: one that is answered doesn't wait for its company."""
        return any(map(_open, self.batches[tenant]))


def _open(member: Member[C, A]) -> bool:
    """Whether it may yet be written: answers come after the commit, a client may leave before."""
    return not member.answer.done() or member.answer.cancelled()


class Lanes(Generic[C, A]):
    """Queues and the tasks that empty them.

    `settle(lane, batches)` resolves every member; `last_word(member)` is the error for one that it
    left unresolved, whatever happened. A lane settles the batches of up to `tenants_max` tenants at
    once, with up to `batch_max` members together.
    """

    def __init__(
        self,
        lanes: int,
        batch_max: int,
        queue_max: int,
        settle: Settle[C, A],
        last_word: LastWord[C, A],
        tenants_max: int = 1,
    ) -> None:
        self._queues: OrderedDict[str, list[Member[C, A]]] = OrderedDict()
        self._flights: list[_Flight[C, A] | None] = [None] * lanes
        # Of several lanes one is left to the other tenants, and kept for when another is slow.
        self._flights_max = max(1, lanes - 1)
        self._wakes = [asyncio.Event() for _ in range(lanes)]
        self._idle: list[int] = []
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._settle = settle
        self._last_word = last_word
        self._tenants_max = tenants_max
        self._queued = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._tasks = [
            asyncio.create_task(self._run(lane), name=f"lane-{lane}") for lane in range(lanes)
        ]

    @property
    def queued(self) -> int:
        """Members waiting in queues."""
        return self._queued

    async def submit(self, tenant: str, subject: str, command: C) -> A:
        """The answer to a command about a subject.

        Raises OverloadedError, and whatever `settle` gives the member.
        """
        if self._closed or self._queued >= self._queue_max:
            raise OverloadedError
        member: Member[C, A] = Member(command, self._loop.create_future(), subject)
        waiting = self._queues.setdefault(tenant, [])
        waiting.append(member)
        self._queued += 1
        self._wake_for(tenant)
        answer = await member.answer
        if tenant in self._queues:  # what waited for this one need not wait for its company
            self._wake_for(tenant)
        return answer

    def board(self, lane: int, tenant: str, subjects: set[str]) -> list[Member[C, A]]:
        """Whoever came meanwhile about these of what a lane is settling; they go with it now."""
        flight, waiting = self._flights[lane], self._queues.get(tenant, [])
        if flight is None or tenant not in flight.batches:
            return []
        batch = flight.batches[tenant]
        room = self._batch_max - sum(map(len, flight.batches.values()))
        found = (m for m in waiting if m.subject in subjects and not m.answer.done())
        more = list(islice(found, max(0, room)))
        if more:
            batch += more
            self._dequeue(tenant, more)
        return more

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
                    await self._settle_whole(lane, taken)
                elif self._closed:
                    return  # what still waits is taken by the lane it waits for
                else:
                    wake.clear()
                    self._idle.append(lane)
                    await wake.wait()
        except BaseException:  # ended by force: nobody may wait for it
            self._closed = True
            for waiting in self._queues.values():
                for member in waiting:
                    member.fail(self._last_word(member))
            self._queues.clear()
            self._queued = 0
            raise

    def _wake_for(self, tenant: str) -> None:
        if all(flight.slow for flight in self._in_flight(tenant)):
            self._wake_one()

    def _wake_one(self) -> None:
        if self._idle and self._may_fly():
            self._wakes[self._idle.pop()].set()

    def _slow(self, flight: _Flight[C, A]) -> None:
        flight.slow = True
        self._wake_one()

    def _may_fly(self) -> bool:
        """Whether one more lane may work: the fewer do, the more each carries."""
        at_work = sum(1 for flight in self._flights if flight and not flight.slow)
        return at_work < self._flights_max

    def _in_flight(self, tenant: str) -> list[_Flight[C, A]]:
        return [f for f in self._flights if f and tenant in f.batches and f.about(tenant)]

    def _take(self, lane: int) -> Batches[C, A] | None:
        """What a lane settles next, done with what it had; None when there is nothing for it."""
        done, self._flights[lane] = self._flights[lane], None
        if done and done.timer:
            done.timer.cancel()
        if not self._may_fly():
            return None
        batches: Batches[C, A] = {}
        room = self._batch_max
        for tenant, waiting in self._queues.items():
            batch = self._batch(tenant, waiting)
            # Whole or not at all, so that nobody's batch is cut small for company.
            if batch and len(batch) <= room:
                batches[tenant] = batch
                room -= len(batch)
                if not room or len(batches) == self._tenants_max:
                    break
        if not batches:
            return None
        for tenant, batch in batches.items():
            self._dequeue(tenant, batch)
        self._fly(lane, batches)
        if self._queues:
            self._wake_one()
        return batches

    def _dequeue(self, tenant: str, batch: list[Member[C, A]]) -> None:
        waiting = self._queues.pop(tenant)
        if len(batch) < len(waiting):
            taken = set(map(id, batch))
            # At the end: tenants take turns.
            self._queues[tenant] = [member for member in waiting if id(member) not in taken]
        self._queued -= len(batch)

    def _fly(self, lane: int, batches: Batches[C, A]) -> None:
        flight = _Flight(batches)
        flight.timer = self._loop.call_later(SLOW_S, self._slow, flight)
        self._flights[lane] = flight

    def _batch(self, tenant: str, waiting: list[Member[C, A]]) -> list[Member[C, A]]:
        """Whom of a tenant a lane may settle now."""
        flights = self._in_flight(tenant)
        if not flights:
            return waiting[: self._batch_max]
        if len(flights) >= self._flights_max or not all(flight.slow for flight in flights):
            return []
        busy = set().union(*(flight.subjects(tenant) for flight in flights))
        return [member for member in waiting if member.subject not in busy][: self._batch_max]

    async def _settle_whole(self, lane: int, batches: Batches[C, A]) -> None:
        """Settle batches and resolve every member, whatever happens (rule 8)."""
        cause: BaseException | None = None
        try:
            await self._settle(lane, batches)
        except asyncio.CancelledError as error:
            # Something it waited for was cancelled, not the lane: the lane goes on.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            cause = error
        except Exception as error:
            cause = error
        finally:
            for member in chain.from_iterable(batches.values()):
                if not member.answer.done():
                    word = self._last_word(member)
                    word.__cause__ = cause
                    member.fail(word)
