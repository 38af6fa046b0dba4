"""What is personal, and every secret, is in no file of the database, its log, its dump, nor ours.

THREAT-T22, S5-19; the negative control puts one into a table and finds it everywhere.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from service.kernel import embedded
from tests.api import shop
from tests.harness import collector as collectors
from tests.harness import people
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server

NAME, LATER_NAME = "司徒金丝雀", "司徒云雀"
PHONE, LATER_PHONE = "13955127789", "13677884512"
EMAIL, PASSWORD = "canary.person@qinghe.example", "Canary-Heron.49 naps"
CONTROL = "canary-control-77120"
LOUD = {"KAFANG_LOG_LEVEL": "debug", "OTEL_TRACES_SAMPLER": "always_on"}


async def live(server: Server) -> list[str]:
    """Everything there is to do with somebody's data; the secrets that were seen on the way."""

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    tenant = await tenants.make(server.postgres.app_dsn, client_of)
    owner = await people.owner_of(server, tenant.merchant_id)
    seen = [tenant.merchant_key, *tenant.pos_keys, owner.token]
    async with client_of(tenant.merchant_key) as office, client_of(owner.token) as boss:
        member = await _ok(office, "/v1/members", {"phone": PHONE, "full_name": NAME})
        path = f"/v1/members/{member['id']}"
        await _ok(office, f"{path}/phone", {"phone": LATER_PHONE, "version": 1})
        await _ok(office, f"{path}/name", {"full_name": LATER_NAME, "version": 2})
        card = await shop.issue(office, tenant)
        await shop.bind(office, member["id"], card)
        seen.append(await shop.token(office, member["id"]))
        await _ok(office, "/v1/members/lookup", {"phone": LATER_PHONE})
        await office.post("/v1/members", {"phone": PHONE + "x", "full_name": NAME})
        why = {"fields": ["full_name", "phone"], "purpose": "contact", "note": "refund"}
        await _ok(boss, f"{path}/unmask", why)
        await _ok(boss, f"{path}/subject-access", {"note": "asked"})
        invited = await _ok(
            boss,
            "/v1/users",
            {"email": EMAIL, "role": "auditor", "node_id": tenant.merchant_id},
        )
        seen.append(invited["token"])
        async with client_of("") as guest:
            await _ok(
                guest, "/v1/tickets/redeem", {"token": invited["token"], "password": PASSWORD}
            )
            credentials = {"email": EMAIL, "password": PASSWORD, "merchant_id": tenant.merchant_id}
            session = await _ok(guest, "/v1/sessions", credentials)
            seen += [session["token"], session["device_token"]]
        made = await _ok(
            boss, "/v1/api-keys", {"name": "till", "scopes": ["cards:read"], "store_id": None}
        )
        seen.append(made["token"])
        await _ok(boss, f"{path}/erase", {"version": 3, "note": "asked for"})
    return seen


async def _ok(client: Client, path: str, body: Any) -> Any:
    answer = await client.post(path, body)
    assert answer.status in (200, 201), (path, answer.body)
    return answer.json()


async def dump(postgres: embedded.Server) -> bytes:
    """Every row of every table as text."""
    admin = await asyncpg.connect(postgres.admin_dsn.replace("/postgres?", "/kafang?"))
    try:
        tables = await admin.fetch(
            "select schemaname || '.' || tablename from pg_tables where schemaname = 'public'"
        )
        texts = [
            text
            for (table,) in tables
            for (text,) in await admin.fetch(f"select t::text from {table} t")
        ]
        return "\n".join(texts).encode()
    finally:
        await admin.close()


def files(folder: Path) -> Iterator[Path]:
    """All of a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def found(texts: list[str], channels: dict[str, Iterator[bytes]]) -> dict[str, set[str]]:
    """Which of these are in which channel, as UTF-8, as UTF-16 and as PostgreSQL shows bytes."""
    forms = {
        form: text
        for text in texts
        for form in (text.encode(), text.encode("utf-16-le"), text.encode().hex().encode())
    }
    return {
        channel: {text for data in parts for form, text in forms.items() if form in data}
        for channel, parts in channels.items()
    }


def test_nothing_personal_and_no_secret_is_written_anywhere(tmp_path: Path) -> None:
    with (
        collectors.running() as collector,
        servers.running({**LOUD, **collector.settings}) as server,
    ):
        seen = asyncio.run(live(server))
        postgres = server.postgres
        asyncio.run(_control(postgres))
        rows = asyncio.run(dump(postgres))
        metrics = asyncio.run(_metrics(server))
        for name in ("secret_key", "keks"):
            seen.append((server.data_dir / name).read_text().strip())
        servers.stop(server)
        cluster = postgres.data_dir / "cluster"
        shutil.copy(server.data_dir / "person_keys.db", tmp_path)
        secrets = [*seen, NAME, LATER_NAME, PHONE, LATER_PHONE, EMAIL, PASSWORD]
        channels = {
            "heap": (path.read_bytes() for path in files(cluster / "base")),
            "wal": (path.read_bytes() for path in files(cluster / "pg_wal")),
            "dump": iter([rows]),
            "server.log": iter([(postgres.data_dir / "server.log").read_bytes()]),
            "output": iter([server.log.read_bytes()]),
            "metrics": iter([metrics]),
            "traces": iter(collector.raw),
            "anchors": (path.read_bytes() for path in files(server.data_dir / "anchors")),
            "keys": (path.read_bytes() for path in files(tmp_path)),
        }
        leaks = found([*secrets, CONTROL], channels)
    control = {channel for channel, texts in leaks.items() if CONTROL in texts}
    assert control == {"heap", "wal", "dump"}, "the control wasn't found where it was put"
    assert {channel: texts - {CONTROL} for channel, texts in leaks.items()} == {
        channel: set() for channel in channels
    }


async def _control(postgres: embedded.Server) -> None:
    """What a table holds is found."""
    admin = await asyncpg.connect(postgres.admin_dsn.replace("/postgres?", "/kafang?"))
    try:
        await admin.execute(f"create table control as select '{CONTROL}'::text as told")
        await admin.execute("checkpoint")
    finally:
        await admin.close()


async def _metrics(server: Server) -> bytes:
    async with Client(server.host, server.port, "") as client:
        return (await client.get("/metrics")).body
