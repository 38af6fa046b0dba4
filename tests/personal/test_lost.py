"""The store of keys is lost: money moves, nobody's name is read, and there is a way to go on."""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

from tests.api import shop
from tests.harness import people
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server

WHY = {"fields": ["phone"], "purpose": "contact", "note": "refund"}
FACTS: dict[str, str] = {}


async def lose(server: Server) -> None:
    """A sale before, one after; a worker is replaced in between."""

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    tenant = await tenants.make(server.postgres.app_dsn, client_of)
    async with client_of(tenant.merchant_key) as office:
        known = {"phone": "13800138000"}
        FACTS["member"] = (await office.post("/v1/members", known)).json()["id"]
        card = await shop.funded(office, tenant, 5_000)
    FACTS["boss"] = (await people.owner_of(server, tenant.merchant_id)).token
    (server.data_dir / "person_keys.db").unlink()
    old = server.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        # Other processes are polled.
        while len(new := server.workers()) < len(old) or set(new) & set(old):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    servers.wait_ready(server)
    async with client_of(tenant.merchant_key) as office:
        sold = await shop.redeem(office, card, 1_000, store_id=tenant.store_ids[0])
        assert sold.status == 201
        assert (await office.post("/v1/members/lookup", known)).status == 200
        other = await office.post("/v1/members", {"phone": "13900139000"})
        assert (other.status, other.json()["code"]) == (503, "unavailable")


async def look(server: Server) -> tuple[int, list[str]]:
    """At whoever was known before."""
    async with Client(server.host, server.port, FACTS["boss"]) as boss:
        answer = await boss.post(f"/v1/members/{FACTS['member']}/unmask", WHY)
        return answer.status, shop.reasons(answer)


def test_money_moves_without_the_store_and_people_can_begin_anew() -> None:
    with tempfile.TemporaryDirectory(prefix="kafang-test-") as name:
        os.chmod(name, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets are 0600
        server = servers.start(Path(name))
        try:
            asyncio.run(lose(server))
        finally:
            servers.stop(server)
        refused = servers.command(server.data_dir, server.port, "run")
        assert refused.returncode == 1
        assert "KAFANG_KEY_STORE is not the store of keys" in refused.stderr
        assert "Traceback" not in refused.stderr
        verified = servers.command(server.data_dir, server.port, "verify")
        assert verified.returncode == 1
        assert "INV-D16  schema  key store: KAFANG_KEY_STORE is not" in verified.stdout
        assert "1 breach" in verified.stdout, "the ledger is whole"
        adopted = servers.command(server.data_dir, server.port, "adopt-key-store")
        assert adopted.returncode == 0, adopted.stderr
        server = servers.start(Path(name), server.port)
        try:
            assert asyncio.run(look(server)) == (409, ["unreadable"])
            verified = servers.command(server.data_dir, server.port, "verify")
            assert f"{FACTS['member']}: its key is gone" in verified.stdout
        finally:
            servers.stop(server)
