"""The writer: the one door for value and card states.

    submit ─► lane ─► read ─► fold and decide ─► post ─► answers
                       ▲                          │
                       └── again ◄────────────────┘

The read is one round trip, the post one call and one commit. Again means:

- missed: in a transaction that locks first (rule 5);
- key, request number or counter taken: on fresh state (rule 7);
- connection lost: under the same keys; the unique index decides (rule 6).

What can't be settled is answered `unknown` if it may have reached the database, `unavailable` if
not. Every rule of the writer (design section 3) is kept here, in the batch, or in `post_v1`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from time import perf_counter

import asyncpg

from service.kernel import database, metrics
from service.kernel.coalescing import Lanes, Member, OverloadedError
from service.kernel.database import LOST, Connection
from service.kernel.ids import new_id
from service.kernel.problems import (
    INTERNAL_ERROR,
    OUTCOME_UNKNOWN,
    UNAUTHENTICATED,
    UNAVAILABLE,
    ProblemError,
)
from service.kernel.sql import SQL
from service.ledger import snapshot as snapshots
from service.ledger.batch import Batch, Later, Outcome, Pending, Relocate, Settled, terms_of
from service.ledger.commands import Command
from service.ledger.connections import Connections
from service.ledger.reasons import KEY_REUSED, KEY_REVERSED, REQUEST_IN_PROGRESS
from service.ledger.terms import Terms

log = logging.getLogger(__name__)

Answer = Settled | ProblemError | Relocate
One = Member[Command, Answer]

# Nothing was written, decide again on fresh state: a counter would have passed its cap, or the
# server chose this transaction as the victim of a deadlock or serialization failure (never a
# business refusal, THREAT-T27).
AGAIN = {"KF004", "40P01", "40001"}
# The same for what the unique indexes found taken meanwhile: a key, a request number.
TAKEN = {"idempotency_key_pkey", "redemption_request_no"}
# What the key itself says holds, whatever an earlier attempt did.
KEY_VERDICTS = (KEY_REUSED, KEY_REVERSED)
ATTEMPTS_MAX = 20
CONTENDED_S = 0.5


class NumberTakenError(Exception):
    """A new card's number is in use already."""


class Writer:
    """The lanes of one worker process, each with a connection of its own."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        terms: Terms,
        quote_key: bytes,
        *,
        lanes: int,
        batch_max: int,
        queue_max: int,
        patience_s: float,
    ) -> None:
        self._connections = Connections(connect, lanes)
        self._terms = terms
        self._quote_key = quote_key
        self._patience_s = patience_s
        # Card numbers that another worker was writing at the same time: until when to expect it
        # again.
        self._contention: dict[str, float] = {}
        self._lanes: Lanes[Command, Answer] = Lanes(
            lanes, batch_max, queue_max, self._settle, _last_word
        )

    async def start(self) -> None:
        """Connect every lane: a wrong server is refused at start."""
        await self._connections.start()

    async def close(self) -> None:
        """Finish what is queued, then disconnect."""
        await self._lanes.close()
        await self._connections.close()

    async def submit(self, command: Command) -> Settled | Relocate:
        """The answer to a command, durable before it returns. Raises ProblemError."""
        subject = command.card_number or command.key_hash.hex()
        try:
            answer = await self._lanes.submit(command.credential.merchant_id, subject, command)
        except OverloadedError:
            raise ProblemError(UNAVAILABLE) from None
        if isinstance(answer, ProblemError):
            raise answer
        return answer

    async def _settle(
        self, lane: int, merchant_id: str, members: list[One], deadline: float | None = None
    ) -> None:
        """Attempt, and again with what is left, until everything is answered or patience ends."""
        now = asyncio.get_running_loop().time
        deadline = deadline or now() + self._patience_s
        lock = self._contended(members, now())
        for attempt in range(ATTEMPTS_MAX):
            members = [member for member in members if not member.answer.done()]
            if not members or now() > deadline:
                return
            try:
                lock = await self._attempt(lane, merchant_id, members, lock)
                if lock:
                    self._note_misses(members, now())
            except asyncpg.DataError as error:
                await self._isolate(lane, merchant_id, members, error, deadline)
            except LOST as error:
                log.warning("connection of lane %d lost: %r", lane, error)
                metrics.count_retry("connection_lost")
                self._connections.drop(lane)
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
            except database.UnsafeDatabaseError:
                raise  # the whole lane's affair, no member's
            except Exception as error:
                if not _again(error):
                    await self._isolate(lane, merchant_id, members, error, deadline)

    def _contended(self, members: list[One], now: float) -> bool:
        """Whether a card of these was missed a moment ago.

        Lock it first then: without a lock the next attempt would miss again.
        """
        while self._contention:
            oldest = next(iter(self._contention))
            if self._contention[oldest] >= now:
                break
            del self._contention[oldest]
        return any(self._contention.get(m.command.card_number, 0.0) >= now for m in members)

    def _note_misses(self, members: list[One], now: float) -> None:
        missed = [member for member in members if not member.answer.done()]
        metrics.count_misses(len(missed))
        for member in missed:
            # At the end again: all live equally long, so the oldest are always in front.
            self._contention.pop(member.command.card_number, None)
            self._contention[member.command.card_number] = now + CONTENDED_S

    async def _attempt(self, lane: int, merchant_id: str, members: list[One], lock: bool) -> bool:
        """Read, decide and post once, and answer what is final.

        True when something missed: the next attempt must lock.
        """
        connection = await self._connections.of(lane)
        async with connection.transaction() if lock else nullcontext():
            missed, answers = await self._decide_and_post(
                connection, merchant_id, members, lock=lock
            )
        for member, answer in answers:  # only now: the commit is done
            _count(member.command, answer)
            member.resolve(answer)
        metrics.set_queue_length(self._lanes.queued)
        return missed

    async def _decide_and_post(
        self, connection: Connection, merchant_id: str, members: list[One], *, lock: bool
    ) -> tuple[bool, list[tuple[One, Answer]]]:
        """Whether a component missed, and the answers.

        They are true once the surrounding transaction has committed.
        """
        commands = [member.command for member in members]
        state = await snapshots.read(connection, merchant_id, commands, lock=lock)
        tenant = await terms_of(self._terms, merchant_id, commands, state) if state else None
        if state is None or tenant is None:
            gone = ProblemError(UNAUTHENTICATED)
            return False, [(member, gone) for member in members] if state is None else []
        batch = Batch(tenant, state, self._quote_key, new_id)
        outcomes: list[tuple[One, Outcome]] = [
            (member, batch.decide(member.command, sent=member.sent)) for member in members
        ]
        missed: set[int] = set()
        if not batch.rows.empty:
            pending = [
                (member, outcome.component)
                for member, outcome in outcomes
                if isinstance(outcome, Pending)
            ]
            missed = await _post(connection, batch, pending)
        answers: list[tuple[One, Answer]] = []
        for member, outcome in outcomes:
            if isinstance(outcome, Pending):
                if outcome.component not in missed:
                    answers.append((member, outcome.settled))
            elif not isinstance(outcome, Later):
                answers.append((member, _certain(member, outcome)))
        return bool(missed), answers

    async def _isolate(
        self,
        lane: int,
        merchant_id: str,
        members: list[One],
        error: Exception,
        deadline: float | None = None,
    ) -> None:
        """One bad member never costs its batch (rule 7).

        Halve until it stands alone, then answer it.
        """
        if len(members) > 1:
            half = len(members) // 2
            await self._settle(lane, merchant_id, members[:half], deadline)
            await self._settle(lane, merchant_id, members[half:], deadline)
            return
        if (
            isinstance(error, asyncpg.UniqueViolationError)
            and error.constraint_name == "card_number_unique"
        ):
            members[0].fail(NumberTakenError())
        elif isinstance(error, asyncpg.LockNotAvailableError):
            busy = ProblemError(REQUEST_IN_PROGRESS, headers={"Retry-After": "1"})
            members[0].resolve(_certain(members[0], busy))
        elif isinstance(error, asyncpg.QueryCanceledError):
            members[0].resolve(_last_word(members[0]))
        else:
            log.error("a command failed and was rolled back", exc_info=error)
            members[0].resolve(_certain(members[0], ProblemError(INTERNAL_ERROR)))


def _certain(member: One, answer: Answer) -> Answer:
    """The answer, unless it says "not applied" while an earlier attempt may yet commit (rule 6)."""
    if member.sent and isinstance(answer, ProblemError) and answer.code not in KEY_VERDICTS:
        return _last_word(member)
    return answer


def _again(error: Exception) -> bool:
    """Whether nothing was written and fresh state will tell."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    again = error.sqlstate in AGAIN or getattr(error, "constraint_name", None) in TAKEN
    if again:
        metrics.count_retry(error.sqlstate or "")
    return again


async def _post(connection: Connection, batch: Batch, members: list[tuple[One, int]]) -> set[int]:
    """The components that missed, given the members with their components.

    A member counts as sent unless the server itself says that nothing was done.
    """
    sent_before = [member.sent for member, _ in members]
    for member, _ in members:
        member.sent = True
    started = perf_counter()
    try:
        missed = set(await connection.fetchval(SQL["ledger.post"], *batch.rows.arguments()))
    except LOST:
        raise
    except asyncpg.PostgresError:
        _unsend(members, sent_before, None)
        raise
    _unsend(members, sent_before, missed)
    metrics.count_batch(len(members), perf_counter() - started)
    return missed


def _unsend(
    members: list[tuple[One, int]], sent_before: list[bool], missed: set[int] | None
) -> None:
    """Nothing was done for those whose component missed (None: for nobody)."""
    for (member, component), sent in zip(members, sent_before, strict=True):
        if missed is None or component in missed:
            member.sent = sent


def _count(command: Command, answer: Answer) -> None:
    kind = type(command.intent).__name__.lower()
    if isinstance(answer, Settled):
        outcome = "accepted" if answer.status < 300 else "refused"
        metrics.count_operation(kind, "replayed" if answer.replayed else outcome)
        if answer.code:
            metrics.count_refusal(answer.code)


def _last_word(member: One) -> ProblemError:
    if member.sent:
        return ProblemError(OUTCOME_UNKNOWN, outcome="unknown")
    return ProblemError(UNAVAILABLE)
