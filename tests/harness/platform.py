"""The platform's tenant of a test database, and its people on visits."""

from collections.abc import Callable

from service.kernel import database
from service.ledger.door import Keys
from service.merchants import operations as merchants
from tests.harness import people
from tests.harness.client import Client
from tests.harness.people import Person
from tests.harness.server import Server

REASON = "工单 20481：核对重复扣款"


async def tenant_of(pool: database.Pool) -> str:
    """The one platform that a database has."""
    found: str | None = await pool.fetchval("select platform_id from platform")
    if found is not None:
        return found
    made = await merchants.create(pool, "卡坊", "test", "CNY", "Asia/Shanghai", is_platform=True)
    return made.merchant_id


async def hired(server: Server, role: str) -> Person:
    """Somebody new who works at the platform."""
    pool = await database.open_pool(server.postgres.app_dsn, 1)
    try:
        platform_id = await tenant_of(pool)
        return await people.hire(pool, people.keys_of(server.data_dir), platform_id, role)
    finally:
        await pool.close()


async def visit(
    client_of: Callable[..., Client], visitor: Person, merchant_id: str, role: str
) -> tuple[str, Person]:
    """The visit's id, and the visitor as they are at the merchant."""
    body = {"merchant_id": merchant_id, "role": role, "reason": REASON}
    async with client_of(visitor.token) as line:
        answer = await line.post("/v1/visits", body)
    assert answer.status == 201, answer.body
    begun = answer.json()
    there = Person(visitor.user_id, visitor.email, begun["token"], begun["session_id"])
    return begun["visit"]["id"], there


async def visiting(
    pool: database.Pool,
    keys: Keys,
    client_of: Callable[..., Client],
    platform_id: str,
    merchant_id: str,
    role: str,
) -> tuple[str, Person]:
    """The same of somebody new, whose role at the platform bears the visiting one's name."""
    own = role.replace("visiting", "platform")
    visitor = await people.hire(pool, keys, platform_id, own)
    return await visit(client_of, visitor, merchant_id, role)
