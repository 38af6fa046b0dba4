"""What provokes the refusals about areas, stores and API keys, with a merchant to have them."""

import os
import time
from types import SimpleNamespace
from typing import Any

import msgspec

from schemas.api_keys import ApiKeyCreate, ApiKeyRotate
from schemas.areas import AreaCreate, Move
from schemas.stores import StoreCreate
from service.api_keys import desk
from service.areas import operations as areas
from service.areas import rules as tree
from service.kernel.permissions import SELF
from service.kernel.signing import Sent, Signatures, signed
from service.stores import operations as stores
from tests.ledger.people_refusals import ABSENT, asked, on
from tests.ledger.rules.kit import Shop
from tests.ledger.stored_refusals import How, bound, call


async def made_twice(merchant: Shop) -> Any:
    """A name that another area has."""
    found = await asked(merchant)
    name = os.urandom(4).hex()
    one = msgspec.json.decode((await areas.create(found, AreaCreate(name))).body)
    await areas.create(found, AreaCreate("in " + name))
    return await areas.create(found, AreaCreate("in " + name, one["id"]))


async def moved_away(merchant: Shop) -> Any:
    """It isn't where it was seen."""
    found = await asked(merchant)
    name = os.urandom(4).hex()
    made = [
        msgspec.json.decode((await areas.create(found, AreaCreate(f"{name} {n}"))).body)["id"]
        for n in range(2)
    ]
    found.path["area_id"] = made[0]
    return await areas.move(found, Move(made[1], made[1]))


async def too_many(merchant: Shop) -> Any:
    """One more than there may be."""
    await merchant.rows(
        "insert into area (merchant_id, area_id, name, created_at)"
        " select $1, 'are_' || lpad(n::text, 26, '0'), n::text, now()"
        f" from generate_series(1, {tree.AREAS_MAX}) n on conflict do nothing"
    )
    try:
        return await areas.create(await asked(merchant), AreaCreate(os.urandom(4).hex()))
    finally:
        await merchant.rows(
            "delete from area a where merchant_id = $1 and not exists (select from placement p"
            " where p.merchant_id = $1 and a.area_id in (p.area_id, p.parent_id))"
        )


def opened(**changes: Any) -> How:
    """A store that can't be so."""

    async def how(merchant: Shop) -> Any:
        body = {"code": os.urandom(4).hex(), "name": "x", "legal_entity": "x", **changes}
        return await stores.open_store(await asked(merchant), msgspec.convert(body, StoreCreate))

    return how


async def opened_twice(merchant: Shop) -> Any:
    """A code that another store has."""
    found = await asked(merchant)
    code = os.urandom(4).hex()
    await stores.open_store(found, StoreCreate(code, "x", "x"))
    return await stores.open_store(found, StoreCreate(code, "y", "x"))


async def look_elsewhere(merchant: Shop) -> Any:
    """A till looks at another store."""
    owner = await asked(merchant)
    made = await stores.open_store(owner, StoreCreate(os.urandom(4).hex(), "x", "x"))
    found = call(merchant)
    found.credential = await bound(merchant, found.credential, merchant.store_id)
    found.path = {**ABSENT, "store_id": msgspec.json.decode(made.body)["id"]}
    return await stores.read(found, None)


def keyed(live: bool = False, role: str = "owner", **changes: Any) -> How:
    """A key that can't be so."""

    async def how(merchant: Shop) -> Any:
        found = await asked(merchant, role)
        body = msgspec.convert({"name": "x", "scopes": ["cards:read"], **changes}, ApiKeyCreate)
        if live:
            reading = SimpleNamespace(merchant=SimpleNamespace(mode="live"))
            return desk._beyond(found, reading, body.scopes, None)  # type: ignore[arg-type]
        return await desk.make(found, body)

    return how


async def rotated_beyond(merchant: Shop) -> Any:
    """What somebody else's key may, and oneself not."""
    found = await asked(merchant, "developer")
    found.scope = "keys:write"
    made = await desk.make(await asked(merchant), ApiKeyCreate("x", ["refunds:write"]))
    found.path["api_key_id"] = msgspec.json.decode(made.body)["key"]["id"]
    await merchant.rows(
        "update merchant set mode = 'live', test_now = null, epoch = epoch + 1"
        " where merchant_id = $1"
    )
    try:
        return await desk.rotate(found, ApiKeyRotate())
    finally:
        await merchant.rows(
            "update merchant set mode = 'test', epoch = epoch + 1 where merchant_id = $1"
        )


async def rotated_twice(merchant: Shop) -> Any:
    """A key that another one came for."""
    found = await asked(merchant)
    made = await desk.make(found, ApiKeyCreate("x", ["cards:read"]))
    found.path["api_key_id"] = msgspec.json.decode(made.body)["key"]["id"]
    for _ in range(2):
        await desk.rotate(found, ApiKeyRotate())


async def rotated_late(merchant: Shop) -> Any:
    """A key that is over."""
    found = await asked(merchant)
    made = await desk.make(found, ApiKeyCreate("x", ["cards:read"]))
    found.path["api_key_id"] = msgspec.json.decode(made.body)["key"]["id"]
    await desk.end(found, None)
    return await desk.rotate(found, ApiKeyRotate())


A, K, S = "service.areas", "service.api_keys.desk", "service.stores.operations"
CONTRACT = ["nothing:at_all"]
PARENTS: tree.Parents = {"are_1": None, "are_2": "are_1", "are_3": "are_2", "are_4": None}


def misplaced(area_id: str | None, parent_id: str | None) -> How:
    """An area that can't be there."""

    async def how(_: Shop) -> Any:
        return tree.why_not(PARENTS, area_id, parent_id)

    return how


def signed_with(signature: bytes | None, times: int = 1) -> How:
    """A request with this signature; of one that is right, `{}` stands for it."""

    async def how(merchant: Shop) -> Any:
        signatures, credential = Signatures(b"k" * 32, merchant.pool), call(merchant).credential
        sent, at, nonce = Sent("GET", b"/", b"", signature), b"%d" % time.time(), os.urandom(8)
        secret = signatures.secret_of(credential.merchant_id, credential.actor_id)
        digits = nonce.hex().encode()
        right = signed(secret, sent, at, digits).encode()
        if signature == b"{}":
            sent = sent._replace(signature=b"t=" + at + b",n=" + digits + b",v1=" + right)
        for _ in range(times):
            await signatures.require(credential, sent)

    return how


STALE, FORGED = (b"t=%d,n=" % at + b"a" * 16 + b",v1=" + b"0" * 64 for at in (1, time.time()))
G = "service.kernel.signing"
CASES: list[tuple[str, str, How]] = [
    (f"{G}.Signatures.require", "unauthenticated signature_missing", signed_with(None)),
    (f"{G}.Signatures.require", "unauthenticated signature_malformed", signed_with(b"t=1")),
    (f"{G}.Signatures.require", "unauthenticated signature_stale", signed_with(STALE)),
    (f"{G}.Signatures.require", "unauthenticated nonce_used", signed_with(b"{}", times=2)),
    (f"{G}.Signatures.require", "unauthenticated signature_wrong", signed_with(FORGED)),
    (f"{G}._refused", "unauthenticated signature_wrong", signed_with(FORGED)),
    (f"{A}.rules.why_not", "area_unknown", misplaced(None, "are_9")),
    (f"{A}.rules.why_not", "area_in_itself", misplaced("are_1", "are_2")),
    (f"{A}.rules.why_not", "area_too_deep", misplaced("are_4", "are_3")),
    (f"{A}.operations._require", "contradiction area_unknown",
     on(areas.create, AreaCreate("x", ABSENT["area_id"]))),
    (f"{A}.operations.create", "area_exists name_taken", made_twice),
    (f"{A}.operations.create", "contradiction too_many_areas", too_many),
    (f"{A}.operations.move", "not_found", on(areas.move, Move(None, None))),
    (f"{A}.operations.move_to", "node_moved", moved_away),
    (f"{S}._contradictions", "contradiction time_zone_unknown permission_unknown",
     opened(time_zone="Asia/Nowhere", contract=CONTRACT)),
    (f"{S}.open_store", "contradiction time_zone_unknown", opened(time_zone="Asia/Nowhere")),
    (f"{S}._same", "store_exists code_taken", opened_twice),
    (f"{S}.one", "not_found", on(stores.read, None)),
    (f"{S}.read", "store_not_allowed", look_elsewhere),
    (f"{K}._contradictions", "contradiction scope_unknown network_invalid expiry_past",
     keyed(scopes=[SELF], networks=["x"], expires_at="2020-01-01T00:00:00Z")),
    (f"{K}.make", "contradiction network_invalid", keyed(networks=["x"])),
    (f"{K}._beyond", "scope_beyond",
     keyed(live=True, role="developer", scopes=["refunds:write"])),
    (f"{K}._beyond", "scope_beyond",
     keyed(live=True, role="developer", scopes=["member_tokens:write"])),
    (f"{K}._make", "contradiction store_unknown", keyed(store_id=ABSENT["store_id"])),
    (f"{K}._named", "not_found", on(desk.end, None)),
    (f"{K}.rotate", "api_key_over", rotated_late),
    (f"{K}.rotate", "api_key_over api_key_rotated", rotated_twice),
    (f"{K}.rotate", "contradiction scope_beyond", rotated_beyond),
]  # fmt: skip
