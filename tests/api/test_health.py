"""What whoever runs it asks: alive, ready, counts, contract; none of it needs a credential."""

import json
import re

from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client
from tests.harness.tenant import Tenant

SAMPLE = re.compile(r"[a-z_]+(\{[^}]*\})? [0-9.e+-]+|[a-z_]+(\{[^}]*\})? \+Inf")


async def test_alive_and_ready(client_of: ClientOf) -> None:
    async with client_of() as client:
        for path in ("/health/live", "/health/ready"):
            answer = await client.get(path)
            assert (answer.status, answer.json()) == (200, {"status": "ok"})
            assert answer.headers["cache-control"] == "no-store"


async def test_no_answer_lets_a_browser_guess_or_a_cache_keep(client_of: ClientOf) -> None:
    """Whoever gives it: a route, the framework (OPTIONS), or nobody (404)."""
    async with client_of() as client:
        for method, path, status in (
            ("GET", "/health/live", 200),
            ("OPTIONS", "/v1/cards", 204),
            ("OPTIONS", "/v1/cards/crd_0", 204),
            ("GET", "/nowhere", 404),
            ("DELETE", "/v1/cards", 405),
        ):
            answer = await client.request(method, path)
            assert answer.status == status, path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert answer.headers["cache-control"] == "no-store", path


async def test_counts_grow_and_hold_no_secret(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    await shop.sold(pos, card, 100)
    async with client_of() as client:
        answer = await client.get("/metrics")
    text = answer.body.decode("utf-8")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert samples
    assert all(SAMPLE.fullmatch(line) for line in samples)
    for secret in (card.number, card.card_id, tenant.merchant_id, tenant.merchant_key):
        assert secret not in text


async def test_the_contract_is_served(client_of: ClientOf) -> None:
    async with client_of() as client:
        answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body)["openapi"].startswith("3.1")
