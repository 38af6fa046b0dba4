"""A database that hangs: everything is answered in time, and the truth is found afterwards.

THREAT-T26.
"""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from tests.conftest import require_whole
from tests.faults import backends
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server

# An answer that is held up by a rollback, or by a pool, comes after more than twice that.
SETTINGS = {"KAFANG_WAIT_S": "0.5", "KAFANG_DEADLINE_S": "2"}
IN_TIME_S = 4.0


@pytest.fixture(name="brisk", scope="module")
def _brisk() -> Iterator[Server]:
    """A server whose time for an answer is short."""
    with servers.running(SETTINGS) as running:
        yield running


async def test_T26_a_database_that_hangs_keeps_nobody_waiting(brisk: Server) -> None:
    """Promise: told in time, a write as `outcome_unknown`; later the same key tells the truth."""

    def client_of(token: str) -> Client:
        return Client(brisk.host, brisk.port, token, timeout_s=IN_TIME_S)

    tenant = await tenants.make(brisk.postgres.app_dsn, client_of)
    async with client_of(tenant.merchant_key) as office, client_of(tenant.pos_keys[0]) as till:
        card = await tenants.make_card(office, tenant, 20_000, "card")
        sale = {
            "request_no": "A-1",
            "amount": {"value": 100, "currency": "CNY"},
            "sources": [{"card_number": card.number}],
        }
        await till.get(f"/v1/cards/{card.card_id}")
        admin = await backends.connect(brisk.postgres.admin_dsn)
        frozen = [
            pid
            for name in ("kafang-writer", "kafang-reader")
            for pid in await backends.pids(admin, name)
        ]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            read, written = await asyncio.gather(
                office.get(f"/v1/cards/{card.card_id}"),
                till.post("/v1/redemptions", sale, "key-A-0001"),
            )
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            await admin.close()
        assert (read.status, read.json()["outcome"]) == (503, "not_applied")
        told = (written.status, written.json()["code"], written.json()["outcome"])
        assert told == (503, "outcome_unknown", "unknown")
        truth = await till.post("/v1/redemptions", sale, "key-A-0001")
        assert truth.status == 201, truth.body
        seen = await office.get(f"/v1/cards/{card.card_id}")
        assert seen.json()["balances"]["total"] == 19_900
    await require_whole(brisk.postgres, tenant.merchant_id)
