"""Everything at once at several merchants, whose batches share their way to the database."""

import asyncio
import time
from contextlib import AsyncExitStack

from service.kernel import embedded
from tests.concurrency.crowd import Crowd, crowd_of, make_cards
from tests.concurrency.mix import Mix
from tests.concurrency.test_mixed import SECONDS, count, explained
from tests.conftest import ClientOf, require_whole
from tests.harness import tenant as tenants
from tests.harness.server import Server

MERCHANTS, CARDS, CLIENTS = 8, 5, 8


async def test_H_one_order_of_legs_explains_every_answer_of_each_merchant(
    server: Server, postgres: embedded.Server, client_of: ClientOf
) -> None:
    """Promise: INV-H1 to H5, H7, H8 and INV-D* for each, as for one merchant alone."""
    made = [await tenants.make(postgres.app_dsn, client_of) for _ in range(MERCHANTS)]
    async with AsyncExitStack() as stack:
        crowds: list[Crowd] = []
        mixes: list[Mix] = []
        for tenant in made:
            crowd = crowd_of(server, tenant.merchant_key, CLIENTS)
            crowds.append(await stack.enter_async_context(crowd))
            cards = await make_cards(crowds[-1], tenant, CARDS, 5_000, "many")
            mixes.append(Mix(cards, tenant.store_ids[0]))
        until = time.perf_counter() + SECONDS / 3
        await asyncio.gather(
            *(
                mix.play(client, f"many-{number:02d}", number, until)
                for crowd, mix in zip(crowds, mixes, strict=True)
                for number, client in enumerate(crowd.clients)
            )
        )
        for one, mix in zip(crowds, mixes, strict=True):
            count(one, mix)
    for tenant, mix in zip(made, mixes, strict=True):
        await explained(mix, server, postgres, tenant.merchant_id)
        accepted = {event.operation for event in mix.journal.events if event.outcome == "ok"}
        assert {"create_redemption", "create_top_up", "create_refund"} <= accepted
        await require_whole(postgres, tenant.merchant_id)
