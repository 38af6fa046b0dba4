"""How a request's bytes come: in one piece, in several, in chunks, behind one another."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.api import shop
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant

JSON = "Content-Type: application/json\r\nIdempotency-Key: {key}\r\n"


def whole(head: str, body: bytes) -> list[bytes]:
    """Everything at once."""
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body]


def halves(head: str, body: bytes) -> list[bytes]:
    """The head, and the body in two pieces."""
    start = f"{head}Content-Length: {len(body)}\r\n\r\n".encode()
    return [start, body[:7], body[7:]]


def chunks(head: str, body: bytes) -> list[bytes]:
    """A body of which only its end tells how long it is."""
    parts = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])]
    return [f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), *parts, b"0\r\n\r\n"]


def offered_upgrade(head: str, body: bytes) -> list[bytes]:
    """As HTTP clients send it that would rather speak HTTP/2."""
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    return whole(head + offer, body)


Pieces = Callable[[str, bytes], list[bytes]]


@pytest.mark.parametrize("pieces", [whole, halves, chunks, offered_upgrade])
async def test_a_request_is_understood_however_it_comes(
    pos: Client, office: Client, tenant: Tenant, pieces: Pieces
) -> None:
    card = await shop.funded(office, tenant, 30_000)
    first = shop.sale(card, 1_000)
    assert (await sent(pos, pieces, first)).status == 201
    assert (await sent(pos, pieces, first)).json()["code"] == "duplicate_request_no"
    assert (await sent(pos, pieces, shop.sale(card, 2_000))).status == 201
    assert sum(await shop.balances(pos, card)) == 35_000 - 3_000


async def sent(client: Client, pieces: Pieces, body: object) -> Response:
    """The answer to a redemption sent in these pieces, over the one connection."""
    bare = client.encode("GET", "/v1/redemptions").decode().removesuffix("\r\n")
    head = bare.replace("GET", "POST", 1) + JSON.format(key=shop.new_key())
    for piece in pieces(head, json.dumps(body).encode()):
        await client.send_bytes(piece)
        await asyncio.sleep(0)
    return await client.receive()
