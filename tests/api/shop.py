"""What happens in a shop, in the fewest words; and what the ledger holds of it."""

from itertools import count
from typing import Any

import asyncpg

from service.kernel.embedded import Server
from tests.harness.client import Client, Response
from tests.harness.tenant import TEMPLATE, Tenant, TestCard

_numbers = count(1)


def new_key() -> str:
    """An idempotency key nobody has used."""
    return f"till-0001-{next(_numbers):06d}"


def yuan(value: int, currency: str = "CNY") -> dict[str, Any]:
    """An amount of so many fen."""
    return {"value": value, "currency": currency}


def reasons(response: Response) -> list[str]:
    """The codes of the reasons of a problem."""
    return [reason["code"] for reason in response.json()["reasons"]]


def without_request_id(response: Response) -> bytes:
    """The body with the one thing that may differ between two neutral answers taken out."""
    return response.body.replace(response.headers["x-request-id"].encode(), b"-")


async def publish(office: Client, **changes: Any) -> str:
    """A published template's id."""
    answer = await office.post("/v1/card-templates", {**TEMPLATE, **changes})
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def issue(
    office: Client, tenant: Tenant, template_id: str | None = None, *, activate: bool = True
) -> TestCard:
    """A card without money."""
    body = {"template_id": template_id or tenant.template_id, "activate": activate}
    answer = await office.post("/v1/cards", body, new_key())
    assert answer.status == 201, answer.body
    return TestCard(answer.json()["id"], answer.json()["card_number"])


async def top_up(client: Client, card: TestCard, value: int, **more: Any) -> Response:
    """Pay money onto a card in cash."""
    key = more.pop("key", None) or new_key()
    body = {"amount": yuan(value), "tender": "cash", **more}
    return await client.post(f"/v1/cards/{card.card_id}/top-ups", body, key)


async def funded(
    office: Client, tenant: Tenant, value: int, template_id: str | None = None
) -> TestCard:
    """An active card onto which `value` was paid."""
    card = await issue(office, tenant, template_id)
    answer = await top_up(office, card, value, store_id=tenant.store_ids[0])
    assert answer.status == 201, answer.body
    return card


def sale(card: TestCard, value: int, **more: Any) -> dict[str, Any]:
    """The body of a redemption by card number."""
    request_no = f"POS1-20260301-{next(_numbers):06d}"
    source = {"card_number": card.number}
    return {"request_no": request_no, "amount": yuan(value), "sources": [source], **more}


async def redeem(client: Client, card: TestCard, value: int, **more: Any) -> Response:
    """A sale paid by card."""
    key = more.pop("key", None) or new_key()
    return await client.post("/v1/redemptions", sale(card, value, **more), key)


async def sold(client: Client, card: TestCard, value: int, **more: Any) -> str:
    """The id of a sale that went through."""
    answer = await redeem(client, card, value, **more)
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def balances(client: Client, card: TestCard) -> tuple[int, int]:
    """Principal and bonus that can be spent now."""
    answer = await client.get(f"/v1/cards/{card.card_id}")
    assert answer.status == 200, answer.body
    return answer.json()["balances"]["principal"], answer.json()["balances"]["bonus"]


async def member(office: Client, **known: str) -> str:
    """A new member's id; known by a phone of their own unless something is given."""
    body = known or {"phone": f"138{next(_numbers):08}"}
    answer = await office.post("/v1/members", body)
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def bind(office: Client, member_id: str, card: TestCard) -> Response:
    """Make a card a member's."""
    return await office.post(f"/v1/members/{member_id}/cards", {"card_id": card.card_id})


async def token(office: Client, member_id: str) -> str:
    """What the member's app shows."""
    answer = await office.post(f"/v1/members/{member_id}/tokens", {})
    assert answer.status == 201, answer.body
    return str(answer.json()["token"])


async def move_clock(office: Client, now: str) -> None:
    """Let the tenant's time be `now`."""
    answer = await office.post("/v1/test-clock", {"now": now})
    assert answer.status == 200, answer.body


async def rows(postgres: Server, merchant_id: str) -> dict[str, int]:
    """How many rows a merchant has in each table that a request could leave one in."""
    tables = ["operation", "idempotency_key", "posting", "leg", "lot", "card", "redemption"]
    tables += ["card_template", "template_version", "member", "card_binding"]
    connection = await asyncpg.connect(postgres.owner_dsn)
    try:
        async with connection.transaction():
            await connection.execute(
                "select set_config('kafang.merchant_id', $1, true)", merchant_id
            )
            return {
                table: await connection.fetchval(f"select count(*) from {table}")
                for table in tables
            }
    finally:
        await connection.close()


async def change(postgres: Server, merchant_id: str, statement: str, *values: Any) -> None:
    """Change what no route changes yet, as the owner, and raise the epoch as the operations do."""
    connection = await asyncpg.connect(postgres.owner_dsn)
    try:
        async with connection.transaction():
            await connection.execute(
                "select set_config('kafang.merchant_id', $1, true)", merchant_id
            )
            await connection.execute(statement, *values)
            await connection.execute(
                "update merchant set epoch = epoch + 1 where merchant_id = $1", merchant_id
            )
    finally:
        await connection.close()
