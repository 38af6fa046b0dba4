"""The writer: the one door for value and card states.

    submit ─► lane ─► read ─► fold and decide ─► post ─► answers
                       ▲                          │
                       └── again ◄────────────────┘

The read is one round trip, the post one call and one commit. Where several merchants wait, their
first attempts share both round trips; each post stays a transaction of its own (rule 9). Again
means, for one merchant alone:

- missed: in a transaction that locks first (rule 5);
- key, request number or counter taken: on fresh state (rule 7);
- connection lost: under the same keys; the unique index decides (rule 6).

What can't be settled is answered `unknown` if it may have reached the database, `unavailable` if
not. Every rule of the writer (design section 3) is kept here, in the batch, or in `post_v2`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import asyncpg

from service.kernel import database, metrics, tracing
from service.kernel.coalescing import Batches, Lanes, OverloadedError
from service.kernel.database import LOST, Connection
from service.kernel.ids import new_id
from service.kernel.problems import INTERNAL_ERROR, UNAUTHENTICATED, UNAVAILABLE, ProblemError
from service.ledger import attempts
from service.ledger import snapshot as snapshots
from service.ledger.attempts import Answer, Attempt, One, certain, last_word
from service.ledger.batch import Batch, Relocate, Settled, terms_of
from service.ledger.commands import Command
from service.ledger.connections import Connections
from service.ledger.reasons import REQUEST_IN_PROGRESS
from service.ledger.snapshot import Snapshot
from service.ledger.terms import Terms

log = logging.getLogger(__name__)

# Nothing was written, decide again on fresh state: a counter would have passed its cap, a day was
# closed, or the server chose this transaction as the victim of a deadlock or serialization failure
# (never a business refusal, THREAT-T27).
AGAIN = {"KF004", "KF005", "40P01", "40001"}
# The same for what the unique indexes found taken meanwhile: a key, a request number.
TAKEN = {"idempotency_key_pkey", "redemption_request_no"}
ATTEMPTS_MAX = 20
CONTENDED_S = 0.5
# Merchants that share a round trip: enough that it costs little, few enough that none waits long.
MERCHANTS_MAX = 16


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
        # Merchant and card number that another worker was writing at the same time: until when to
        # expect it again.
        self._contention: dict[tuple[str, str], float] = {}
        self._lanes: Lanes[Command, Answer] = Lanes(
            lanes, batch_max, queue_max, self._settle, last_word, MERCHANTS_MAX
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
        if command.trace is not None:
            command.trace.queued()
        try:
            answer = await self._lanes.submit(command.credential.merchant_id, subject, command)
        except OverloadedError:
            raise ProblemError(UNAVAILABLE) from None
        if isinstance(answer, ProblemError):
            raise answer
        return answer

    async def _settle(self, lane: int, batches: Batches[Command, Answer]) -> None:
        """Attempt several merchants' batches together, then each alone until it is answered."""
        deadline = _now() + self._patience_s
        if len(batches) > 1:
            await self._try(lane, self._attempt_together(lane, batches))
            # Whoever is in trouble must not spend the patience of the others.
            for merchant_id, members in batches.items():
                if waiting := _unanswered(members):
                    lock = self._contended(merchant_id, waiting)
                    await self._try(lane, self._attempt(lane, merchant_id, waiting, lock))
        for merchant_id, members in batches.items():
            await self._settle_alone(lane, merchant_id, members, deadline)

    async def _try(self, lane: int, attempt: Awaitable[object]) -> None:
        """One attempt. Whatever it leaves, and why, shows in the next."""
        try:
            await attempt
        except LOST as error:
            self._lose(lane, error)
        except database.UnsafeDatabaseError:
            raise  # the whole lane's affair, no member's
        except asyncpg.PostgresError as error:
            metrics.count_retry(error.sqlstate or "")
        except Exception as error:
            log.error("an attempt failed", exc_info=error)

    async def _settle_alone(
        self, lane: int, merchant_id: str, members: list[One], deadline: float
    ) -> None:
        """Attempt, and again with what is left, until everything is answered or patience ends."""
        lock = self._contended(merchant_id, members)
        for attempt in range(ATTEMPTS_MAX):
            members = _unanswered(members)
            if not members or _now() > deadline:
                return
            try:
                lock = await self._attempt(lane, merchant_id, members, lock, attempt)
            except asyncpg.DataError as error:
                await self._isolate(lane, merchant_id, members, error, deadline)
            except LOST as error:
                self._lose(lane, error)
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
            except database.UnsafeDatabaseError:
                raise  # the whole lane's affair, no member's
            except Exception as error:
                if not _again(error):
                    await self._isolate(lane, merchant_id, members, error, deadline)

    def _lose(self, lane: int, error: BaseException) -> None:
        log.warning("connection of lane %d lost: %s", lane, error)
        metrics.count_retry("connection_lost")
        self._connections.drop(lane)

    def _contended(self, merchant_id: str, members: list[One]) -> bool:
        """Whether a card of these was missed a moment ago.

        Lock it first then: without a lock the next attempt would miss again.
        """
        now = _now()
        while self._contention:
            oldest = next(iter(self._contention))
            if self._contention[oldest] >= now:
                break
            del self._contention[oldest]
        names = ((merchant_id, member.command.card_number) for member in members)
        return any(self._contention.get(name, 0.0) >= now for name in names)

    def _note_misses(self, merchant_id: str, members: list[One]) -> int:
        missed = _unanswered(members)
        metrics.count_misses(len(missed))
        for member in missed:
            # At the end again: all live equally long, so the oldest are always in front.
            name = (merchant_id, member.command.card_number)
            self._contention.pop(name, None)
            self._contention[name] = _now() + CONTENDED_S
        return len(missed)

    async def _attempt(
        self, lane: int, merchant_id: str, members: list[One], lock: bool, retry: int = 0
    ) -> bool:
        """Read, decide and post once, and answer what is final.

        True when something missed: the next attempt must lock. Then `members` is more by those who
        came while it waited for locks.
        """
        connection = await self._connections.of(lane)
        missed: set[int] = set()
        with _traced([(merchant_id, members)], lock, retry) as traced:
            async with connection.transaction() if lock else nullcontext():
                commands = _commands(merchant_id, members)
                state = await snapshots.read(connection, *commands, lock=lock)
                held = {member.subject for member in members} if lock else set()
                if held and (more := self._lanes.board(lane, merchant_id, held)):
                    # They came while the cards were another's: half the commits of a hot card.
                    members += more
                    commands = _commands(merchant_id, members)
                    state = await snapshots.read(connection, *commands, lock=False)
                traced.did("read")
                attempt = await self._decide(merchant_id, members, state)
                traced.did("decide")
                if attempt is not None and not attempt.batch.rows.empty:
                    missed = await attempts.post(connection, attempt)
            if attempt is not None:  # only now: the commit is done
                if not attempt.batch.rows.empty:
                    traced.did("post")
                self._answer(attempt, missed, traced)
        return bool(missed)

    async def _attempt_together(self, lane: int, batches: Batches[Command, Answer]) -> None:
        """The same for several merchants, but without locks.

        What must lock, misses or fails is left to an attempt alone.
        """
        waiting = [(merchant_id, _unanswered(members)) for merchant_id, members in batches.items()]
        free = [(name, each) for name, each in waiting if each and not self._contended(name, each)]
        if not free:
            return
        connection = await self._connections.of(lane)
        with _traced(free, False, 0) as traced:
            states = await snapshots.read_many(connection, [_commands(*each) for each in free])
            traced.did("read")
            decided = await asyncio.gather(
                *(self._decide(*each, state) for each, state in zip(free, states, strict=True)),
                return_exceptions=True,  # one's fault; it shows when it is attempted alone
            )
            traced.did("decide")
            posting: list[Attempt] = []
            for attempt in decided:
                if isinstance(attempt, Attempt) and attempt.batch.rows.empty:
                    self._answer(attempt, set(), traced)
                elif isinstance(attempt, Attempt):
                    posting.append(attempt)
            if posting:
                results = await self._post_many(connection, posting)
                traced.did("post")
                for attempt, missed in zip(posting, results, strict=True):
                    self._answer(attempt, missed, traced)

    async def _post_many(self, connection: Connection, posting: list[Attempt]) -> list[set[int]]:
        """For each the components that missed; when this raises it is known who was not posted."""
        try:
            return await attempts.post_many(connection, posting)
        except LOST:
            raise
        except asyncpg.PostgresError:
            # The call is over, so what the keys say now holds.
            commands = [_commands(a.batch.rows.merchant_id, a.members) for a in posting]
            states = await snapshots.read_many(connection, commands)
            for attempt, state in zip(posting, states, strict=True):
                attempt.unsend_unless(state.keys if state else ())
            raise

    async def _decide(
        self, merchant_id: str, members: list[One], state: Snapshot | None
    ) -> Attempt | None:
        """The members decided on a snapshot; None when there is nothing to decide on."""
        if state is None:
            for member in members:
                member.resolve(certain(member, ProblemError(UNAUTHENTICATED)))
            return None
        tenant = await terms_of(self._terms, *_commands(merchant_id, members), state)
        if tenant is None:
            return None  # its epoch has moved: read again
        return Attempt(Batch(tenant, state, self._quote_key, new_id), members)

    def _answer(self, attempt: Attempt, missed: set[int], traced: tracing.Attempt) -> None:
        """Answer what is final. What was posted must have committed."""
        for member, answer in attempt.answers(missed):
            _count(member.command, answer)
            member.resolve(answer)
        if missed:
            misses = self._note_misses(attempt.batch.rows.merchant_id, attempt.members)
            traced.missed(attempt.batch.rows.merchant_id, misses)
        metrics.set_queue_length(self._lanes.queued)

    async def _isolate(
        self,
        lane: int,
        merchant_id: str,
        members: list[One],
        error: Exception,
        deadline: float,
    ) -> None:
        """One bad member never costs its batch (rule 7).

        Halve until it stands alone, then answer it.
        """
        if len(members) > 1:
            half = len(members) // 2
            await self._settle_alone(lane, merchant_id, members[:half], deadline)
            await self._settle_alone(lane, merchant_id, members[half:], deadline)
            return
        if (
            isinstance(error, asyncpg.UniqueViolationError)
            and error.constraint_name == "card_number_unique"
        ):
            members[0].fail(NumberTakenError())
        elif isinstance(error, asyncpg.LockNotAvailableError):
            busy = ProblemError(REQUEST_IN_PROGRESS, headers={"Retry-After": "1"})
            members[0].resolve(certain(members[0], busy))
        elif isinstance(error, asyncpg.QueryCanceledError):
            members[0].resolve(last_word(members[0]))
        else:
            log.error("a command failed and was rolled back", exc_info=error)
            members[0].resolve(certain(members[0], ProblemError(INTERNAL_ERROR)))


def _traced(batches: list[tuple[str, list[One]]], locked: bool, retry: int) -> tracing.Attempt:
    """What is told to tracing of one attempt."""
    if tracing.source is None:
        return tracing.UNTRACED
    told = [(name, [member.command.trace for member in members]) for name, members in batches]
    return tracing.source.attempt(told, locked=locked, retry=retry)


def _commands(merchant_id: str, members: list[One]) -> tuple[str, list[Command]]:
    return merchant_id, [member.command for member in members]


def _unanswered(members: list[One]) -> list[One]:
    return [member for member in members if not member.answer.done()]


def _again(error: Exception) -> bool:
    """Whether nothing was written and fresh state will tell."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    again = error.sqlstate in AGAIN or getattr(error, "constraint_name", None) in TAKEN
    if again:
        metrics.count_retry(error.sqlstate or "")
    return again


def _count(command: Command, answer: Answer) -> None:
    kind = type(command.intent).__name__.lower()
    if isinstance(answer, Settled):
        outcome = "accepted" if answer.status < 300 else "refused"
        metrics.count_operation(kind, "replayed" if answer.replayed else outcome)
        if answer.code:
            metrics.count_refusal(answer.code, answer.reasons)
            if command.trace is not None:
                command.trace.refused(answer.code, answer.reasons)


def _now() -> float:
    return asyncio.get_running_loop().time()
