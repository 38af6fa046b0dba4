"""Everything at once on a few cards: afterwards one order of legs explains every answer."""

import asyncio
import os
import time
from collections import Counter

from service.kernel import embedded
from tests.concurrency import history, journal
from tests.concurrency.crowd import Crowd, crowd_of, make_cards
from tests.concurrency.mix import Mix
from tests.harness.server import Server
from tests.harness.tenant import Tenant

CARDS = 20
CLIENTS = 32
# How long to play; raise it for a long run.
SECONDS = float(os.environ.get("MIXED_SECONDS", "60"))
SLOWEST_S = 2.0


def count(crowd: Crowd, mix: Mix) -> None:
    """What a crowd played are requests of it."""
    for event in mix.journal.events:
        crowd.count(event.returned_at - event.invoked_at)


async def explained(
    mix: Mix, server: Server, postgres: embedded.Server, merchant_id: str
) -> journal.History:
    """The history of what was played; fails unless one order of legs explains every answer."""
    events = mix.journal.events
    seen = await journal.history_of(events, postgres.owner_dsn, server.data_dir, merchant_id)
    found = history.check(seen, journal.declared_answers())
    assert not found, found[:20]
    assert not [event for event in events if event.outcome in ("unknown", "not_now")]
    assert mix.journal.slowest_s() < SLOWEST_S
    return seen


async def test_H_one_order_of_legs_explains_every_answer(
    server: Server, tenant: Tenant, postgres: embedded.Server
) -> None:
    """Promise: INV-H1 to H5, H7, H8 over what 32 clients saw, INV-D* over what they left."""
    async with crowd_of(server, tenant.merchant_key, CLIENTS) as crowd:
        cards = await make_cards(crowd, tenant, CARDS, 5_000, "mixed")
        mix = Mix(cards, tenant.store_ids[0])
        until = time.perf_counter() + SECONDS
        await asyncio.gather(
            *(
                mix.play(client, f"mix-{number:02d}", number, until)
                for number, client in enumerate(crowd.clients)
            )
        )
        events = mix.journal.events
        count(crowd, mix)
    seen = await explained(mix, server, postgres, tenant.merchant_id)
    outcomes = Counter((event.operation, event.outcome) for event in events)
    print(len(events), "events,", len(seen.legs), "legs:", dict(sorted(outcomes.items())))
    # A mix without one of these would prove nothing about it.
    said_no = {operation for operation, outcome in outcomes if outcome == "no"}
    assert said_no >= set(journal.declared_answers()) & {
        "create_redemption",
        "create_top_up",
        "create_refund",
        "void_redemption",
        "freeze_card",
        "unfreeze_card",
        "create_reversal",
    }
    assert {event.operation for event in events if event.replayed} >= said_no
