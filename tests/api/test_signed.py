"""Requests of a key that signs: good with this signature, now, once. THREAT-T18."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from msgspec import Struct
from msgspec.structs import replace

from service.kernel.auth import Credential
from service.kernel.ids import new_id
from service.kernel.problems import ProblemError
from service.kernel.signing import CLOCKS_APART_MAX_S, Sent, Signatures, signed
from tests.api import shop
from tests.api.staff import Staff
from tests.api.test_signing_in import HELD_UP
from tests.harness.client import Client, Response
from tests.ledger.rules import kit

SCOPES = ["cards:read", "cards:write", "member_tokens:write", "members:read", "members:write",
          "redemptions:write", "stores:read", "top_ups:write"]  # fmt: skip


class Signer(Struct):
    """Whoever has a key and what it signs with."""

    client: Client
    token: str
    secret: str

    async def get(self, target: str, **given: Any) -> Response:
        """GET, signed."""
        headers = {"Kafang-Signature": self.signature("GET", target, b"", **given)}
        return await self.client.request("GET", target, b"", headers)

    async def post(self, target: str, body: bytes, key: str = "", **given: Any) -> Response:
        """POST, signed."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        signature = self.signature("POST", target, body, **given)
        return await self.client.request(
            "POST", target, body, headers | {"Kafang-Signature": signature}
        )

    def signature(
        self, method: str, target: str, body: bytes, at: int | None = None, nonce: str = ""
    ) -> str:
        """As the guide says it is made."""
        at, nonce = int(time.time()) if at is None else at, nonce or secrets.token_hex(8)
        text = f"{method}\n{target}\n{at}\n{nonce}\n".encode() + body + b"\n"
        shown = hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()
        return f"t={at},n={nonce},v1={shown}"


@pytest.fixture
async def signer(staff: Staff) -> AsyncIterator[Signer]:
    """A key that signs."""
    made = await made_by(staff)
    async with staff.client_of(made["token"]) as client:
        yield Signer(client, made["token"], made["signing_secret"])


async def made_by(staff: Staff, **more: Any) -> dict[str, Any]:
    """A key that signs, unless it says otherwise."""
    body = {"name": "ERP", "scopes": SCOPES, "signed": True, **more}
    answer = await staff.boss.post("/v1/api-keys", body)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json()
    return found


def told(answer: Response) -> list[str]:
    """Why it wasn't taken."""
    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated"), answer.body
    assert answer.headers["www-authenticate"] == "Bearer"
    return shop.reasons(answer)


def test_what_is_signed_is_what_others_would_sign() -> None:
    """Made with `openssl dgst -sha256 -hmac kfh_secret`."""
    sent = Sent("POST", b"/v1/cards/lookup?x=%20", b'{"a":1}', None)
    known = "96d91c08f57e9f5fc6d5d0779521ebb3666c6a6f4f7be987527543eb9d4d3202"
    assert signed("kfh_secret", sent, b"1773900000", b"9f1c2b7e4a60d853") == known


async def test_a_key_is_no_use_alone(signer: Signer, staff: Staff) -> None:
    """Negative control: without the look at it every one of these is answered 200."""
    assert (await signer.get("/v1/policies?limit=1")).status == 200
    assert (await signer.get("/v1/policies")).status == 200
    for path in ("/v1/policies", "/v1/audit-entries"):  # what it may is nobody's to learn
        assert told(await signer.client.get(path)) == ["signature_missing"]
    lost = b'{"card_number": "8800000000000000"}'
    assert (await signer.post("/v1/cards/lookup", lost)).status == 404
    answer = await signer.client.post("/v1/cards/lookup", {"card_number": "8800000000000000"})
    assert told(answer) == ["signature_missing"]
    made = f'{{"template_id": "{staff.tenant.template_id}", "activate": true}}'.encode()
    key = shop.new_key()
    first = await signer.post("/v1/cards", made, key)
    again = await signer.post("/v1/cards", made, key)
    assert (first.status, again.status, again.body) == (201, 201, first.body)


Change = Callable[[str], str]
LATE, EARLY = CLOCKS_APART_MAX_S + 5, -CLOCKS_APART_MAX_S - 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda signature: signature[:0], "signature_malformed"),
        (lambda signature: signature.upper(), "signature_malformed"),
        (lambda signature: f"{signature},v1=0", "signature_malformed"),
        (lambda signature: f"{signature} ", None),  # a header's end is no part of it
        (lambda signature: signature.replace("t=", "t=-"), "signature_malformed"),
        (lambda signature: signature.replace("n=", "n=é"), "signature_malformed"),
        (lambda signature: signature.replace(",n=", ",n=a"), "signature_wrong"),
        (lambda signature: signature.replace("t=1", "t=0"), "signature_stale"),
        (lambda signature: signature[:-1] + "01"[signature[-1] == "0"], "signature_wrong"),
    ],
    ids=["none", "capitals", "twice", "space", "negative", "letters", "nonce", "time", "digit"],
)
async def test_what_is_no_signature(signer: Signer, change: Change, reason: str | None) -> None:
    body = b'{"card_number": "8800000000000000"}'
    signature = change(signer.signature("POST", "/v1/cards/lookup", body))
    headers = {"Content-Type": "application/json", "Kafang-Signature": signature}
    answer = await signer.client.request("POST", "/v1/cards/lookup", body, headers)
    assert reason is None or told(answer) == [reason]
    assert reason is not None or answer.status == 404


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/cards/lookup", b'{"card_number": "8800000000000000"}'),
        ("POST", "/v1/cards/lookup/", b'{"card_number": "8800000000000000"}'),
        ("POST", "/v1/cards/lookup?", b'{"card_number": "8800000000000000"}'),
        ("POST", "/v1/cards/lookup", b'{"card_number": "8800000000000001"}'),
        ("POST", "/v1/cards/lookup", b'{"card_number":"8800000000000000"}'),
        ("POST", "/v1/cards/lookup", b""),
    ],
)
async def test_of_something_else_it_is_none(
    signer: Signer, method: str, target: str, body: bytes
) -> None:
    """Negative control: whatever isn't in the lines could be another."""
    headers = {
        "Content-Type": "application/json",
        "Kafang-Signature": signer.signature(method, target, body),
    }
    sent = b'{"card_number": "8800000000000000"}'
    answer = await signer.client.request("POST", "/v1/cards/lookup", sent, headers)
    assert told(answer) == ["signature_wrong"]


@pytest.mark.parametrize("late_s", [LATE, EARLY])
async def test_its_time_is_now(signer: Signer, late_s: int) -> None:
    at = int(time.time())
    assert told(await signer.get("/v1/policies", at=at - late_s)) == ["signature_stale"]
    near = late_s // 2
    assert (await signer.get("/v1/policies", at=at - near)).status == 200


async def test_it_is_good_once(signer: Signer, staff: Staff) -> None:
    """Negative control: without the nonces all of them are taken."""
    nonce, other = secrets.token_urlsafe(16), await made_by(staff)

    async def ask() -> Response:
        async with staff.client_of(signer.token) as client:
            return await replace(signer, client=client).get("/v1/policies", nonce=nonce)

    answers = await asyncio.gather(*[ask() for _ in range(32)])
    assert sorted(answer.status for answer in answers) == [200] + [401] * 31
    for answer in answers:
        assert answer.status == 200 or told(answer) == ["nonce_used"]
    async with staff.client_of(other["token"]) as client:  # another key's nonces are its own
        theirs = Signer(client, other["token"], other["signing_secret"])
        answer = await theirs.get("/v1/policies", nonce=nonce)
    assert answer.status == 200


async def test_a_key_in_its_place_signs_too(staff: Staff) -> None:
    old = await made_by(staff)
    assert old["key"]["signed"]
    new = (await staff.boss.post(f"/v1/api-keys/{old['key']['id']}/rotate", {})).json()
    assert new["key"]["signed"]
    assert new["signing_secret"] != old["signing_secret"]
    for made, secret, status in (
        (old, old["signing_secret"], 200),
        (new, new["signing_secret"], 200),
        (new, old["signing_secret"], 401),
    ):
        async with staff.client_of(made["token"]) as client:
            answer = await Signer(client, made["token"], secret).get("/v1/policies")
            assert answer.status == status


async def test_who_signs_nothing_needs_none(staff: Staff) -> None:
    plain = await made_by(staff, signed=False)
    assert (plain["key"]["signed"], plain["signing_secret"]) == (False, None)
    async with staff.client_of(plain["token"]) as client:
        assert (await client.get("/v1/policies")).status == 200
        assert (await Signer(client, plain["token"], "any").get("/v1/policies")).status == 200
    assert "signing_secret" not in (await staff.boss.get("/v1/api-keys")).json()["data"][0]


async def test_members_have_nothing_to_sign_with(signer: Signer, staff: Staff) -> None:
    made = await signer.post("/v1/members", b'{"external_id": "wx-1"}')
    member_id = made.json()["id"]
    answer = await signer.post(f"/v1/members/{member_id}/tokens", b"{}")
    async with staff.client_of(answer.json()["token"]) as app:
        assert (await app.get(f"/v1/members/{member_id}")).status == 200


async def done_or_waits_for(pid: int, pool: Any, task: "asyncio.Future[Any]") -> bool:
    """True when the task is done; False when something waits for that backend."""

    async def settled() -> bool:
        return task.done() or bool(await pool.fetchval(HELD_UP, pid))

    await kit.until(settled, "the task to be done or to wait")
    return task.done()


async def test_old_nonces_make_room(staff: Staff) -> None:
    """Once they can't be shown again; also where the same one comes many times at once."""
    signatures, merchant_id = Signatures(b"k" * 32, staff.pool), staff.tenant.merchant_id
    credential = Credential(merchant_id, new_id("key"), b"", frozenset(), None, None, 1)
    secret = signatures.secret_of(merchant_id, credential.actor_id)

    async def use(nonce: bytes) -> bool:
        at, sent = b"%d" % time.time(), Sent("GET", b"/v1/stores", b"", None)
        shown = signed(secret, sent, at, nonce).encode()
        signature = b"t=" + at + b",n=" + nonce + b",v1=" + shown
        try:
            await signatures.require(credential, sent._replace(signature=signature))
        except ProblemError:
            return False
        return True

    assert all([await use(b"a%015d" % number) for number in range(9)])
    owner = await asyncpg.connect(staff.postgres.admin_dsn, database="kafang")
    try:
        count = "select count(*) from used_nonce where merchant_id = $1"
        before = await owner.fetchval(count, merchant_id)
        older = "update used_nonce set used_at = used_at - interval '11 minutes 1 second'"
        await owner.execute(f"{older} where merchant_id = $1", merchant_id)
        assert sum(await asyncio.gather(*[use(b"b%015d" % 1) for _ in range(8)])) == 1
        assert all([await use(b"c%015d" % number) for number in range(8)])
        assert await owner.fetchval(count, merchant_id) == before == 9
        assert await use(b"d%015d" % 1)
        assert await owner.fetchval(count, merchant_id) == 10
        await owner.execute(f"{older} where merchant_id = $1", merchant_id)
        assert await use(b"e%015d" % 1)
        fresh = "used_nonce where merchant_id = $1 and used_at > now() - interval '5 minutes'"
        await owner.execute(f"create temp table held as select * from {fresh}", merchant_id)
        await owner.execute(f"delete from {fresh}", merchant_id)
        async with owner.transaction():
            await owner.execute("insert into used_nonce select * from held")
            late = asyncio.ensure_future(use(b"e%015d" % 1))
            assert not await done_or_waits_for(owner.get_server_pid(), staff.pool, late)
        assert not await late
    finally:
        await owner.close()
