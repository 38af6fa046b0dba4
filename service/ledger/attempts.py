"""Attempts: one try at a batch, from its decision to its members' answers.

A member that may have reached the database is `sent`: until its key says what became of it, nobody
may answer that nothing was done (rule 6).
"""

from collections.abc import Container
from time import perf_counter

import asyncpg

from service.kernel import metrics
from service.kernel.coalescing import Member
from service.kernel.database import LOST, Connection
from service.kernel.problems import OUTCOME_UNKNOWN, UNAVAILABLE, ProblemError
from service.kernel.sql import SQL
from service.ledger.batch import Batch, Later, Outcome, Pending, Relocate, Settled
from service.ledger.commands import Command
from service.ledger.reasons import KEY_REUSED, KEY_REVERSED

Answer = Settled | ProblemError | Relocate
One = Member[Command, Answer]

# What the key itself says holds, whatever an earlier attempt did.
KEY_VERDICTS = (KEY_REUSED, KEY_REVERSED)


class Attempt:
    """The members of a batch, decided in order; some wait for its post."""

    def __init__(self, batch: Batch, members: list[One]) -> None:
        self.batch = batch
        self.members = members
        self._sent_before = [member.sent for member in members]
        self._outcomes: list[tuple[One, Outcome]] = [
            (member, batch.decide(member.command, sent=member.sent)) for member in members
        ]

    @property
    def pending(self) -> int:
        """How many members wait for the post."""
        return sum(isinstance(outcome, Pending) for _, outcome in self._outcomes)

    def send(self) -> None:
        """From now on its effects may be there."""
        for member, outcome in self._outcomes:
            if isinstance(outcome, Pending):
                member.sent |= {outcome.operation_id}

    def unsend(self, missed: set[int] | None = None) -> None:
        """The server says that nothing was done for these components (None: for none at all)."""
        for (member, outcome), sent in zip(self._outcomes, self._sent_before, strict=True):
            if isinstance(outcome, Pending) and (missed is None or outcome.component in missed):
                member.sent = sent

    def unsend_unless(self, keys: Container[bytes]) -> None:
        """The server is done with it: whose key isn't among these has left nothing."""
        for (member, _), sent in zip(self._outcomes, self._sent_before, strict=True):
            if member.command.key_hash not in keys:
                member.sent = sent

    def answers(self, missed: set[int]) -> list[tuple[One, Answer]]:
        """What is final, given the components that missed, once what was posted has committed."""
        answers: list[tuple[One, Answer]] = []
        for member, outcome in self._outcomes:
            if isinstance(outcome, Pending):
                if outcome.component not in missed:
                    answers.append((member, outcome.settled))
            elif not isinstance(outcome, Later):
                answers.append((member, certain(member, outcome)))
        return answers


async def post(connection: Connection, attempt: Attempt) -> set[int]:
    """Post a batch; the components that missed."""
    attempt.send()
    started = perf_counter()
    try:
        arguments = attempt.batch.rows.arguments()
        missed = set(await connection.fetchval(SQL["ledger.post"], *arguments))
    except LOST:
        raise
    except asyncpg.PostgresError:
        attempt.unsend()
        raise
    attempt.unsend(missed)
    metrics.count_batch(attempt.pending, perf_counter() - started)
    return missed


async def post_many(connection: Connection, attempts: list[Attempt]) -> list[set[int]]:
    """Post several merchants' batches in one call, each in a transaction of its own.

    For each the components that missed. When this raises, each may have been posted or not.
    """
    arguments = [attempt.batch.rows.arguments() for attempt in attempts]
    for attempt in attempts:
        attempt.send()
    started = perf_counter()
    results = await connection.fetchval(SQL["ledger.post_many"], arguments)
    duration_s = (perf_counter() - started) / max(1, len(attempts))
    posted = [set(missed) for (missed,) in results]
    for attempt, missed in zip(attempts, posted, strict=True):
        attempt.unsend(missed)
        metrics.count_batch(attempt.pending, duration_s)
    return posted


def certain(member: One, answer: Answer) -> Answer:
    """The answer, unless it says "not applied" while an earlier attempt may yet commit (rule 6)."""
    settled = isinstance(answer, Settled) or (
        isinstance(answer, ProblemError) and answer.code in KEY_VERDICTS
    )
    return answer if settled or not member.sent else last_word(member)


def last_word(member: One) -> ProblemError:
    """What a member is told that could not be settled."""
    if member.sent:
        return ProblemError(OUTCOME_UNKNOWN, outcome="unknown")
    return ProblemError(UNAVAILABLE)
