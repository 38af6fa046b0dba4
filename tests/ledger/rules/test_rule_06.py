"""Rule 6: an unknown outcome is never answered "not applied" from a look-up.

It is run again under the same key; the unique index decides. THREAT-T4.
"""

import asyncio
from typing import Any

import pytest

from service.kernel import embedded
from service.kernel.coalescing import Member
from service.kernel.problems import OUTCOME_UNKNOWN, UNAVAILABLE, ProblemError
from service.kernel.sql import SQL
from service.ledger import attempts
from service.ledger import writer as writers
from service.ledger.batch import Relocate, Settled
from service.ledger.commands import Command
from service.ledger.writer import Writer
from tests.ledger.ledger_fixture import Card
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, Tap, both, caught, shop


class LooksUp(Writer):
    """After a lost connection it looks whether the key is there, and believes what it sees."""

    async def _settle_alone(
        self,
        lane: int,
        merchant_id: str,
        members: Any,
        deadline: float,  # noqa: ARG002  # the writer's signature
    ) -> None:
        try:
            await self._attempt(lane, merchant_id, members, False)
        except OSError:
            vars(self)["_connections"].drop(lane)
            connection = await vars(self)["_connections"].of(lane)
            for member in members:
                found = await connection.fetchrow(
                    SQL["ledger.read"],
                    merchant_id,
                    False,
                    [],
                    [member.command.key_hash],
                    [],
                    [],
                    [],
                    [],
                )
                assert found is not None
                assert not found["keys"]
                member.resolve(ProblemError(UNAVAILABLE))


class CutOff:
    """The line is cut while the server works on the first post: it goes on, and commits later."""

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher
        self.cut = asyncio.Event()
        self.times = 1

    async def post(self, inner: Any, query: str, *values: Any) -> Any:
        """What the tap runs in place of the post."""
        if not self.times:
            return await inner.fetchval(query, *values)
        self.times -= 1
        sent = asyncio.create_task(inner.fetchval(query, *values))
        assert not await kit.done_or_waits(self.watcher, sent, inner.get_server_pid())
        inner.terminate()
        await asyncio.wait([sent])
        assert sent.exception()
        self.cut.set()
        raise ConnectionResetError("the line was cut")


async def effects(merchant: Shop, card: Card) -> int:
    """What was taken from a card that held 100."""
    row = await merchant.rows(
        "select 100 - principal from card where merchant_id = $1 and card_id = $2", card.card_id
    )
    return int(row[0][0])


async def outcome_of(merchant: Shop, command: Command) -> str:
    """`applied`, `not_applied` or `unknown`, as the answer says."""
    try:
        answer = await merchant.writer.submit(command)
    except ProblemError as problem:
        return problem.outcome
    assert isinstance(answer, Settled)
    return "applied" if answer.status == 201 else "not_applied"


@both(LooksUp)
async def test_rule_06_a_lost_answer_is_asked_for_again_under_the_same_key(
    database: embedded.Server, twin: type[Writer] | None
) -> None:
    """The post is in flight when the line is cut: its key can't be seen, and yet it will commit."""
    tap = Tap()
    options = {"tap": tap, "writer_class": twin or Writer}
    dials = kit.admin(database), kit.admin(database)
    async with shop(database, options) as merchant, kit.lines(*dials) as (holder, watcher):
        card = await merchant.card(100)
        line = CutOff(watcher)
        tap.instead = line.post
        command = merchant.redeeming(card, 30)
        async with holder.transaction():
            await holder.fetch(kit.HOLD, merchant.merchant_id)
            task = asyncio.create_task(outcome_of(merchant, command))
            await line.cut.wait()
            if twin:
                await task
        outcome = await task

        async def committed() -> bool:
            return await effects(merchant, card) == 30

        await kit.until(committed, "the post that was cut off to commit")
        with caught(twin, "the answer says not_applied"):
            assert outcome == "applied", f"30 were taken, the answer says {outcome}"
        assert await outcome_of(merchant, command) == "applied"
        assert await effects(merchant, card) == 30
        await merchant.require_whole()


def sure_of_itself(member: Member[Command, Any]) -> BaseException:
    """What isn't known not to have happened is taken for not happened."""
    return ProblemError(UNAVAILABLE)


@both(sure_of_itself)
async def test_rule_06_what_stays_unknown_is_called_unknown(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server can't be reached again in time: the answer must not say that nothing happened."""
    if twin:
        monkeypatch.setattr(writers, "last_word", twin)
    tap = Tap()
    options = {"tap": tap, "patience_s": 0.5}
    async with shop(database, options) as merchant:
        card = await merchant.card(100)
        tap.instead = tap.commit_and_cut
        outcome = await outcome_of(merchant, merchant.redeeming(card, 30))
        assert await effects(merchant, card) == 30
        with caught(twin, "the answer says not_applied"):
            assert outcome == "unknown", f"30 were taken, the answer says {outcome}"


async def test_rule_06_a_busy_card_after_a_lost_post_is_unknown_too(
    database: embedded.Server,
) -> None:
    """The lost post still holds the card when the next attempt gives up waiting for it."""
    tap = Tap()
    tap.on_connect = "set lock_timeout to '50ms'"
    dials = kit.admin(database), kit.admin(database)
    async with shop(database, {"tap": tap}) as merchant, kit.lines(*dials) as (holder, watcher):
        card = await merchant.card(100)
        line = CutOff(watcher)
        tap.instead = line.post
        command = merchant.redeeming(card, 30)
        async with holder.transaction():
            await holder.fetch(kit.HOLD, merchant.merchant_id)
            outcome = await outcome_of(merchant, command)
        assert outcome == "unknown"
        assert OUTCOME_UNKNOWN.retry == "same_key"
        assert await outcome_of(merchant, command) == "applied"
        assert await effects(merchant, card) == 30


def trusting(member: Member[Command, Any], answer: Any) -> Any:
    """Believes every answer but a problem."""
    return answer


@both(trusting)
async def test_rule_06_look_again_is_no_answer_to_what_may_have_been_posted(twin: Any) -> None:
    """Looked up again it would be decided as if nothing had been sent."""
    member: Member[Command, Any] = Member(None, asyncio.get_running_loop().create_future())  # type: ignore[arg-type]
    certain = twin or attempts.certain
    assert certain(member, Relocate()) == Relocate(), "nothing was sent"
    member.sent = frozenset({"rev_1"})
    answer = certain(member, Relocate())
    with caught(twin, "not applied"):
        assert isinstance(answer, ProblemError), "not applied, says the answer"
        assert answer.outcome == "unknown"
