"""Rule 4: a refusal decided on folded state stands or falls with what was folded."""

import asyncio
from typing import Any

import pytest

from service.kernel import embedded
from service.ledger.batch import Batch
from service.ledger.commands import Command
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Tap, both, caught, shop


def on_its_own(batch: Batch, command: Command) -> int:
    """Every refusal gets a component of its own."""
    return batch.rows.new_component()


@both(on_its_own)
async def test_rule_04_a_refusal_is_not_answered_when_its_ground_is_gone(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of 80 from a card of 100, while another worker tops it up with 500: both must pass."""
    if twin:
        monkeypatch.setattr(Batch, "_settled_on", twin)
    tap = Tap()
    async with shop(database, {"tap": tap}) as merchant:
        card = await merchant.card(100)
        async with kit.desk(database, merchant.credential, merchant.store_id) as rival:
            tap.posts = 0

            async def top_up_meanwhile(number: int) -> None:
                if number == 1:
                    await rival.top_up(card, 500)

            tap.before = top_up_meanwhile
            answers = await asyncio.gather(
                *(merchant.writer.submit(merchant.redeeming(card, 80)) for _ in range(2))
            )
        with caught(twin, "refused on state that never was"):
            statuses = [kit.status_of(answer) for answer in answers]
            assert statuses == [201, 201], "refused on state that never was"
            assert await merchant.held() == 440
        if not twin:
            await merchant.require_whole()


LOCK = "select from card where card_id = $1 for no key update"


def with_a_guard(batch: Batch, command: Command) -> int:
    """A refusal compares its card's version, as what changes the card does."""
    component = batch.rows.new_component()
    card = vars(batch)["_snapshot"].cards[command.card_number]
    guard = (component, "card", card.card_id, card.version)
    vars(batch.rows)["_guards"]["card", card.card_id] = guard
    return component


@both(with_a_guard)
async def test_rule_04_a_refusal_on_fresh_state_needs_only_its_key(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy card keeps nobody from being told that its balance is too small."""
    if twin:
        monkeypatch.setattr(Batch, "_settled_on", twin)
    dials = kit.connect(database), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (poster, holder):
        card = await merchant.card(100)
        async with holder.transaction():
            await holder.execute(LOCK, card.card_id)
            batch = await merchant.fold(poster, [merchant.redeeming(card, 101)])
            missed = await merchant.post(poster, batch.rows.arguments())
        with caught(twin, "waits for the card"):
            assert missed == [], "a refusal waits for the card"
