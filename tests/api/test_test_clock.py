"""The clock of a test tenant: forward only, for its own tenant only, never for a live one."""

import pytest

from service.kernel.embedded import Server
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.tenant import Tenant


async def test_time_moves_forward_only(office: Client, tenant: Tenant) -> None:
    moved = await office.post("/v1/test-clock", {"now": "2031-03-01T10:00:00+08:00"})
    assert (moved.status, moved.json()) == (200, {"now": "2031-03-01T02:00:00Z"})
    for now in ("2031-03-01T02:00:00Z", "2031-03-01T01:59:59Z", "0001-01-01T00:00:00+14:00"):
        answer = await office.post("/v1/test-clock", {"now": now})
        assert (answer.status, answer.json()["code"]) == (422, "contradiction")
        [reason] = answer.json()["reasons"]
        assert (reason["code"], reason["path"]) == ("clock_moves_forward", "$.now")
    assert (await office.post("/v1/test-clock", {"now": "2031-03-01T02:00:01Z"})).status == 200


async def test_another_tenants_time_stands(
    office: Client, tenant: Tenant, other: Tenant, client_of: ClientOf
) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    async with client_of(other.merchant_key) as theirs:
        card = await shop.funded(theirs, other, 100)
        shown = (await theirs.get(f"/v1/cards/{card.card_id}")).json()
    assert shown["created_at"] < "2031"


async def test_every_worker_follows(office: Client, tenant: Tenant, client_of: ClientOf) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    for _ in range(12):  # each on a connection of its own, so that both workers serve some
        async with client_of(tenant.merchant_key) as client:
            body = {"template_id": tenant.template_id}
            answer = await client.post("/v1/cards", body, shop.new_key())
        assert answer.json()["created_at"] == "2031-03-01T02:00:00Z"


@pytest.mark.parametrize(
    "now", ["2031-03-01T02:00:00", "2031-03-01", "tomorrow", "", "2031-13-01T00:00:00Z",
            "10000-01-01T00:00:00Z", 1_900_000_000, None],
)  # fmt: skip
async def test_a_time_that_is_none(office: Client, now: object) -> None:
    answer = await office.post("/v1/test-clock", {"now": now})
    assert (answer.status, answer.json()["code"]) == (400, "invalid_request")
    assert [reason["path"] for reason in answer.json()["reasons"]] == ["$.now"]


@pytest.mark.parametrize(
    "now", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "2200-01-01T00:00:00Z"]
)
async def test_a_time_too_far_away(office: Client, tenant: Tenant, now: str) -> None:
    answer = await office.post("/v1/test-clock", {"now": now})
    assert (answer.status, answer.json()["code"]) == (422, "contradiction")
    assert answer.json()["reasons"][0]["path"] == "$.now"


async def test_at_the_end_of_time_everything_works(office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2199-12-31T23:59:59Z")
    validity = {"type": "after_activation", "period": "P100Y"}
    template_id = await shop.publish(office, validity=validity)
    card = await shop.funded(office, tenant, 30_000, template_id)
    shown = (await office.get(f"/v1/cards/{card.card_id}")).json()
    assert shown["expires_on"] == "2299-12-31"


async def test_a_till_may_not_move_it(pos: Client) -> None:
    answer = await pos.post("/v1/test-clock", {"now": "2031-03-01T02:00:00Z"})
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


async def test_a_live_tenant_has_no_clock_of_its_own(postgres: Server, client_of: ClientOf) -> None:
    live = await tenants.make(postgres.app_dsn, client_of, mode="live")
    async with client_of(live.merchant_key) as client:
        answer = await client.post("/v1/test-clock", {"now": "2031-03-01T02:00:00Z"})
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")
