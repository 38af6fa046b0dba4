"""A rich history: every movement, refusals, time that passes; the checker must find it whole."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from service.kernel.problems import ProblemError
from tests.ledger.ledger_fixture import Card, Ledger

STEPS = [{"pay": 30_000, "bonus": 5_000, "bonus_validity": "P30D"}]


async def write(ledger: Ledger) -> None:
    """Everything a stored-value card can go through."""
    mixed = await ledger.publish(drawdown_policy="pro_rata", top_up_rules=STEPS)
    short_lived = await ledger.publish(
        drawdown_policy="bonus_first",
        top_up_rules=STEPS,
        validity={"type": "after_activation", "period": "P60D"},
        max_cards=2,
    )
    card = await ledger.issue(mixed)
    await _buy_and_give_back(ledger, card)
    await _states(ledger, card, await ledger.issue(mixed, activate=False))
    crowd = [await ledger.issue(mixed) for _ in range(4)]
    await asyncio.gather(*(ledger.top_up(each, 40_000) for each in crowd))
    await asyncio.gather(*(ledger.redeem(each, 7) for each in crowd for _ in range(20)))
    await _reversals(ledger, card)
    await _time_passes(ledger, short_lived)


async def _buy_and_give_back(ledger: Ledger, card: Card) -> None:
    assert (await ledger.top_up(card, 30_000))["http"] == 201
    first = await ledger.redeem(card, 8_801)
    assert (await ledger.refund(card, first["id"], 3_000))["redemption_status"] == "partly_refunded"
    assert (await ledger.refund(card, first["id"], None))["redemption_status"] == "refunded"
    assert (await ledger.refund(card, first["id"], 1))["http"] == 409
    second = await ledger.redeem(card, 700)
    assert (await ledger.void(card, second["id"]))["redemption_status"] == "voided"
    assert (await ledger.redeem(card, 10_000_000))["http"] == 409


async def _states(ledger: Ledger, card: Card, stock: Card) -> None:
    assert (await ledger.top_up(stock, 100))["http"] == 409
    assert (await ledger.activate(stock))["status"] == "active"
    assert (await ledger.activate(stock))["http"] == 409
    sold = await ledger.redeem(card, 100)
    assert (await ledger.freeze(card))["status"] == "frozen"
    assert (await ledger.redeem(card, 100))["http"] == 409
    assert (await ledger.refund(card, sold["id"], 60))["http"] == 201
    assert (await ledger.unfreeze(card))["status"] == "active"


async def _reversals(ledger: Ledger, card: Card) -> None:
    keys = [secrets.token_bytes(16) for _ in range(5)]
    sold = await ledger.redeem(card, 900, keys[0])
    await ledger.refund(card, sold["id"], 200)
    assert (await ledger.reverse(card, keys[0], sold["id"]))["outcome"] == "reversed"
    assert (await ledger.reverse(card, keys[0], sold["id"]))["outcome"] == "nothing_to_reverse"
    sold = await ledger.redeem(card, 900, keys[1])
    assert (await ledger.reverse(card, keys[1], sold["id"]))["outcome"] == "reversed"
    paid = await ledger.top_up(card, 31_000, keys[2])
    assert (await ledger.reverse(card, keys[2], paid["id"]))["outcome"] == "reversed"
    paid = await ledger.top_up(card, 40_000, keys[3])
    await ledger.redeem(card, 70_000)
    assert (await ledger.reverse(card, keys[3], paid["id"]))["http"] == 409
    assert (await ledger.reverse(None, keys[4], None))["outcome"] == "blocked"
    with pytest.raises(ProblemError):
        await ledger.redeem(card, 300, keys[4])


async def _time_passes(ledger: Ledger, template_id: str) -> None:
    """Bonus lapses before its refund, a card expires, a template runs out of cards."""
    card, other = await ledger.issue(template_id), await ledger.issue(template_id)
    with pytest.raises(AssertionError, match="issue_limit_reached"):
        await ledger.issue(template_id)
    await ledger.top_up(card, 30_000)
    await ledger.top_up(other, 30_000)
    sold = await ledger.redeem(card, 2_000)
    start = datetime.now(UTC)
    await ledger.move_clock(start + timedelta(days=31))
    given = await ledger.refund(card, sold["id"], 1_500)
    assert given["card"]["balances"] == {
        "principal": 30_000,
        "bonus": 1_500,
        "total": 31_500,
        "currency": "CNY",
    }
    await ledger.redeem(card, 1_600)
    await ledger.redeem(other, 500)
    await ledger.move_clock(start + timedelta(days=61))
    assert (await ledger.redeem(card, 500))["http"] == 409
    assert (await ledger.refund(card, sold["id"], None))["http"] == 201
