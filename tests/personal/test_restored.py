"""Who was erased is unreadable in a backup from before, and forgotten there again.

The keys of people aren't in the ledger's backup: CN-P-05, THREAT-T22.
"""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.harness import people
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server

WHY = {"fields": ["full_name", "phone"], "purpose": "contact", "note": "refund"}


async def live(server: Server) -> tuple[str, str, str, str]:
    """Two people, one of whom wants to be forgotten after a backup: their ids, a boss, its end."""

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    tenant = await tenants.make(server.postgres.app_dsn, client_of)
    boss_token = (await people.owner_of(server, tenant.merchant_id)).token
    async with client_of(tenant.merchant_key) as office, client_of(boss_token) as boss:
        gone = (
            await office.post("/v1/members", {"phone": "13955127789", "full_name": "司徒"})
        ).json()
        stays = (
            await office.post("/v1/members", {"phone": "13677884512", "full_name": "上官"})
        ).json()
        backup = servers.command(
            server.data_dir, server.port, "backup", str(folder(server)), "--json"
        )
        assert backup.returncode == 0, backup.stderr
        body = {"version": 1, "note": "asked for"}
        done = await boss.post(f"/v1/members/{gone['id']}/erase", body)
        assert done.json()["member"]["status"] == "erased"
    return gone["id"], stays["id"], boss_token, json.loads(backup.stdout)["ended_at"]


def folder(server: Server) -> Path:
    """Where the backup is."""
    return server.data_dir.parent / "backup"


async def look(server: Server, token: str, member_id: str) -> dict[str, Any]:
    """What is known of somebody, or why it isn't shown."""
    async with Client(server.host, server.port, token) as boss:
        answer: dict[str, Any] = (await boss.post(f"/v1/members/{member_id}/unmask", WHY)).json()
        return answer


def test_a_backup_from_before_doesnt_bring_anybody_back() -> None:
    with tempfile.TemporaryDirectory(prefix="kafang-test-") as name:
        os.chmod(name, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets are 0600
        data_dir = Path(name) / "data"
        data_dir.mkdir()
        kept = {"KAFANG_ARCHIVE_DIR": str(Path(name) / "archive")}
        server = servers.start(data_dir, settings=kept)
        try:
            gone, stays, boss, end = asyncio.run(live(server))
        finally:
            servers.stop(server)
        done = command(server, kept, "restore", str(folder(server)), "--to", end)
        server = servers.start(data_dir, server.port, settings=kept)
        try:
            told = asyncio.run(look(server, boss, gone))
            assert [each["code"] for each in told["reasons"]] == ["unreadable"], done
            assert asyncio.run(look(server, boss, stays))["full_name"] == "上官"
            assert gone in command(server, kept, "verify", status=1)
            assert json.loads(command(server, kept, "forget", "--json")) == {
                "due": 0,
                "again": 1,
            }
            assert "no breach" in command(server, kept, "verify")
        finally:
            servers.stop(server)


def command(server: Server, settings: dict[str, str], *arguments: str, status: int = 0) -> str:
    """What a command prints."""
    done = servers.command(server.data_dir, server.port, *arguments, **settings)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout
