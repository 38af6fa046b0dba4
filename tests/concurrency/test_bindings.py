"""One card, many members at once: it becomes one's, and no member gets more than can be shown."""

import asyncio

from service.members.rules import CARDS_MAX
from tests.concurrency.crowd import Crowd, Request, crowd_of, make_cards
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant, make_card

MEMBERS, ROUNDS = 16, 20
ABOVE = 8


async def members(crowd: Crowd) -> list[str]:
    """A member for each of the crowd."""
    known = [Request("/v1/members", {"external_id": f"wx-{n}"}, "") for n in range(MEMBERS)]
    return [answer.json()["id"] for answer in await crowd.release(known)]


async def test_a_card_becomes_one_members(server: Server, tenant: Tenant) -> None:
    async with crowd_of(server, tenant.merchant_key, MEMBERS) as crowd:
        everybody = await members(crowd)
        for card in await make_cards(crowd, tenant, ROUNDS, 0, "race"):
            body = {"card_number": card.number}
            wave = [Request(f"/v1/members/{member}/cards", body, "") for member in everybody]
            answers = await crowd.release(wave)
            assert sorted(answer.status for answer in answers) == [201] + [409] * (MEMBERS - 1)
            [winner] = [m for m, a in zip(everybody, answers, strict=True) if a.status == 201]
            told = {a.json()["reasons"][0]["existing_id"] for a in answers if a.status == 409}
            assert told == {winner}
            # It is let go and wanted at once: nobody has it, or one does.
            path = f"/v1/members/{winner}/cards/{card.card_id}/unbind"
            wave[everybody.index(winner)] = Request(path, {"binding_no": 1}, "")
            again = await crowd.release(wave)
            assert {answer.status for answer in again} <= {200, 201, 409, 503}
            assert sum(answer.status == 201 for answer in again) <= 1


async def test_no_member_gets_more_than_can_be_shown(server: Server, tenant: Tenant) -> None:
    clients = [Client(server.host, server.port, tenant.merchant_key) for _ in range(2 * ABOVE)]
    try:
        made = await clients[0].post("/v1/members", {"external_id": "wx-1"})
        path = f"/v1/members/{made.json()['id']}/cards"
        cards = [
            await make_card(clients[0], tenant, 0, f"many-{n}") for n in range(CARDS_MAX + ABOVE)
        ]
        bodies = [{"card_id": card.card_id} for card in cards]
        first, last = bodies[: -len(clients)], bodies[-len(clients) :]
        for body in first:
            assert (await clients[0].post(path, body)).status == 201
        answers = await asyncio.gather(
            *(client.post(path, body) for client, body in zip(clients, last, strict=True))
        )
        assert sorted(answer.status for answer in answers) == [201] * ABOVE + [409] * ABOVE
        assert len((await clients[0].get(path)).json()["data"]) == CARDS_MAX
    finally:
        for client in clients:
            client.drop()
