"""Rule 7: one bad member never costs its batch; duplicates join the first; keys go in order.

THREAT-T27.
"""

import asyncio
from typing import Any

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.problems import INTERNAL_ERROR, ProblemError
from service.ledger import writer as writers
from service.ledger.batch import Batch, Sent, Settled
from service.ledger.batch import replay as answer_of_key
from service.ledger.commands import Command, Redeem
from service.ledger.writer import Writer
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, Tap, both, caught, schema_of, shop


async def all_at_once(merchant: Shop, commands: list[Command]) -> list[Any]:
    """Submitted together: one lane takes them as one batch. Answers and errors."""
    submitted = [merchant.writer.submit(command) for command in commands]
    return await asyncio.gather(*submitted, return_exceptions=True)


@both({"redemption_request_no"})
async def test_rule_07_a_taken_key_costs_one_more_post(
    database: embedded.Server, twin: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same request at two workers: it is replayed, and the rest goes again as one batch."""
    tap = Tap()
    async with shop(database, {"tap": tap}) as merchant:
        cards = [await merchant.card(100) for _ in range(8)]
        contested = merchant.redeeming(cards[0], 1_000)
        commands = [contested, *(merchant.redeeming(card, 10) for card in cards[1:])]
        async with kit.desk(database, merchant.credential, merchant.store_id) as rival:
            if twin:
                monkeypatch.setattr(writers, "TAKEN", twin)
            tap.posts = 0

            async def same_request_elsewhere(number: int) -> None:
                if number == 1:
                    await rival.writer.submit(contested)

            tap.before = same_request_elsewhere
            answers = await all_at_once(merchant, commands)
        assert [kit.status_of(answer) for answer in answers] == [409] + [201] * 7
        assert answers[0].replayed
        with caught(twin, "posts for one taken key"):
            assert tap.posts == 2, f"{tap.posts} posts for one taken key"
        await merchant.require_whole()


class AllOrNobody(Writer):
    """Whoever shares a batch with a bad member fails with it."""

    async def _isolate(self, *facts: Any) -> None:
        for member in facts[2]:
            member.resolve(ProblemError(INTERNAL_ERROR))


@pytest.mark.parametrize("poison", ["nul\0inside", "lone\ud800surrogate"], ids=["nul", "surrogate"])
@both(AllOrNobody)
async def test_rule_07_one_bad_member_fails_alone(
    database: embedded.Server, twin: type[Writer] | None, poison: str
) -> None:
    """What the door refuses, brought past the door."""
    async with shop(database, {"writer_class": twin or Writer}) as merchant:
        cards = [await merchant.card(100) for _ in range(5)]
        commands = [merchant.redeeming(card, 10) for card in cards]
        commands[2].intent = Redeem(poison, 10, "CNY", [], True, None, None)
        answers = await all_at_once(merchant, commands)
        bad = answers.pop(2)
        assert isinstance(bad, ProblemError)
        with caught(twin, "failed with the bad one"):
            assert all(isinstance(answer, Settled) for answer in answers), "failed with the bad one"
            assert await merchant.held() == 460
            await merchant.require_whole()


def only_what_is_stored(batch: Batch, command: Command, sent: Sent) -> Any:
    """Looks for the key in the database alone, not among those of this batch."""
    key = vars(batch)["_snapshot"].keys.get(command.key_hash)
    return None if key is None else answer_of_key(key, command.fingerprint, sent)


@both(only_what_is_stored)
async def test_rule_07_a_duplicate_joins_the_first(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A till that sent twice, both in one batch: one effect, one answer, byte for byte."""
    async with shop(database) as merchant:
        card = await merchant.card(100)
        command = merchant.redeeming(card, 10)
        if twin:
            monkeypatch.setattr(Batch, "_replay", twin)
        answers = await all_at_once(merchant, [command, command])
        with caught(twin, "not one answer"):
            assert all(isinstance(answer, Settled) for answer in answers), "not one answer"
            assert len({answer.body for answer in answers}) == 1, "not one answer"
            assert sorted(answer.replayed for answer in answers) == [False, True]
            assert await merchant.held() == 90


SORTED = "from unnest(p_keys) k order by k.key_hash"
UNSORTED = ((SORTED, SORTED.removesuffix(" order by k.key_hash")),)
TAKE_KEY = """
insert into idempotency_key (merchant_id, key_hash, fingerprint, outcome, http_status, created_at)
values ($1, $2, '', 'tombstone', 409, clock_timestamp())"""


@both(UNSORTED)
async def test_rule_07_keys_are_inserted_in_their_order(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """Two workers, the same two keys: who waits for the lower does not hold the higher one."""
    schema = await schema_of(database, "post_v2", twin)
    dials = kit.connect(database, schema), kit.admin(database), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (poster, other, watcher):
        card = await merchant.card(100)
        lower, higher = b"\x01" * 16, b"\x02" * 16
        refused = [merchant.redeeming(card, 999, key) for key in (higher, lower)]
        batch = await merchant.fold(poster, refused)
        await other.execute("set deadlock_timeout to '10ms'")
        transaction = other.transaction()
        await transaction.start()
        await other.execute(TAKE_KEY, merchant.merchant_id, lower)
        task = asyncio.create_task(merchant.post(poster, batch.rows.arguments()))
        assert not await kit.done_or_waits(watcher, task, poster.get_server_pid())
        try:
            await other.execute(TAKE_KEY, merchant.merchant_id, higher)
            deadlock = False
        except asyncpg.DeadlockDetectedError:
            deadlock = True
        await transaction.rollback()
        assert await task == []
        with caught(twin, "wait for each other"):
            assert not deadlock, "two workers wait for each other"
