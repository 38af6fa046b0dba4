"""Who is forgotten stays so, whatever is put back; and nobody else is. CN-P-05, THREAT-T22."""

import sqlite3
from typing import Any

import asyncpg

from service import upkeep
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness import people
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant
from tests.personal import rotating

NOBODY = {"due": 0, "again": 0}


async def row(server: Server, merchant_id: str, member_id: str) -> Any:
    """A member as the database knows them."""
    owner = await asyncpg.connect(server.postgres.owner_dsn)
    try:
        async with owner.transaction():
            await owner.execute("select set_config('kafang.merchant_id', $1, true)", merchant_id)
            return await owner.fetchrow("select * from member where member_id = $1", member_id)
    finally:
        await owner.close()


async def put_back(server: Server, before: Any) -> None:
    """The ledger is restored to before."""
    names = ("external_id", "phone_index", "masked_phone", "phone_sealed", "name_sealed",
             "masked_name", "key_no", "status")  # fmt: skip
    changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 2))
    statement = f"update member set {changes} where member_id = $1"
    values = [before["member_id"], *(before[name] for name in names)]
    await shop.change(server.postgres, before["merchant_id"], statement, *values)


async def run(server: Server, tenant: Tenant) -> dict[str, int]:
    """`python -m service forget` for one merchant."""
    settings = rotating.settings_of(server)
    done = await upkeep.forget(server.postgres.owner_dsn, settings, tenant.merchant_id)
    return {"due": done.due, "again": done.again}


async def erase(server: Server, tenant: Tenant, client_of: ClientOf, member_id: str) -> str:
    """They want to be forgotten; how it stands then."""
    boss_token = (await people.owner_of(server, tenant.merchant_id)).token
    async with client_of(boss_token) as boss:
        body = {"version": 1, "note": "asked for"}
        answer = await boss.post(f"/v1/members/{member_id}/erase", body)
        assert answer.status == 200, answer.body
        return str(answer.json()["member"]["status"])


async def member(office: Client, **known: str) -> str:
    """Somebody's id."""
    return str((await office.post("/v1/members", known)).json()["id"])


async def test_a_restored_ledger_forgets_again_who_never_had_a_key_too(
    server: Server, tenant: Tenant, office: Client, client_of: ClientOf
) -> None:
    for known in ({"external_id": "wx-1"}, {"phone": "13800138000", "full_name": "欧阳若兰"}):
        member_id = await member(office, **known)
        before = await row(server, tenant.merchant_id, member_id)
        assert await erase(server, tenant, client_of, member_id) == "erased"
        await put_back(server, before)
        assert await run(server, tenant) == {"due": 0, "again": 1}
        after = await row(server, tenant.merchant_id, member_id)
        assert (after["status"], after["external_id"], after["phone_index"]) == (
            "erased", None, None
        )  # fmt: skip
    assert await run(server, tenant) == NOBODY


async def test_a_restored_ledger_restricts_again_who_is_kept(
    server: Server, tenant: Tenant, office: Client, client_of: ClientOf
) -> None:
    member_id = await member(office, phone="13800138000")
    named = await shop.publish(office, holder="named")
    await shop.bind(office, member_id, await shop.issue(office, tenant, named))
    before = await row(server, tenant.merchant_id, member_id)
    assert await erase(server, tenant, client_of, member_id) == "restricted"
    await put_back(server, before)
    assert await run(server, tenant) == NOBODY
    assert (await row(server, tenant.merchant_id, member_id))["status"] == "restricted"
    settings = rotating.settings_of(server)
    async with rotating.ring(settings, server.postgres.owner_dsn) as keyring:
        assert await keyring.forgotten(tenant.merchant_id, "") == [(member_id, False)]
        store = sqlite3.connect(server.data_dir / "person_keys.db")
        with store:
            store.execute("delete from forgotten where person_id = ?", (member_id,))
        store.close()
        await run(server, tenant)
        assert await keyring.forgotten(tenant.merchant_id, "") == [(member_id, False)]


async def test_a_restored_store_forgets_again(
    server: Server, tenant: Tenant, office: Client, client_of: ClientOf
) -> None:
    member_id = await member(office, phone="13800138000")
    async with rotating.ring(rotating.settings_of(server), server.postgres.owner_dsn) as keyring:
        (kept,) = await keyring._fetch("of_owner", tenant.merchant_id, member_id)
        assert await erase(server, tenant, client_of, member_id) == "erased"
        await keyring._write(("put", [(tenant.merchant_id, *kept)]))
        assert await keyring.of(tenant.merchant_id, member_id, 1) is not None
        assert await run(server, tenant) == NOBODY
        assert await keyring.of(tenant.merchant_id, member_id, 1) is None


async def test_who_has_lost_a_key_isnt_forgotten(
    server: Server, tenant: Tenant, office: Client
) -> None:
    """A store that was put back lacks the keys of whoever came since: they live."""
    member_id = await member(office, phone="13800138000")
    settings = rotating.settings_of(server)
    async with rotating.ring(settings, server.postgres.owner_dsn) as keyring:
        await keyring.drop(tenant.merchant_id, member_id)
    assert await run(server, tenant) == NOBODY
    assert (await row(server, tenant.merchant_id, member_id))["status"] == "active"
    assert (await office.post("/v1/members/lookup", {"phone": "13800138000"})).status == 200
    (found,) = await upkeep.breaches(server.postgres.owner_dsn, settings, tenant.merchant_id)
    assert (found.invariant, found.subject) == ("INV-D16", member_id)
