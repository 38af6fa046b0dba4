"""Sends canaries to a service: on every route, at every place, well and badly formed; breaks it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from typing import Any

import asyncpg
from msgspec import Struct

from service import app
from service.kernel.routes import Route
from tests.api import bad, shop
from tests.harness import people
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.contract import ID_PREFIXES
from tests.harness.server import Server
from tests.harness.tenant import Tenant

# In no text but a client's. Digits as a till, a person and a URL write them.
WORDS = (
    "6677014159265358", "6677 0141 5926 5359", "+86 139-5512-7788", "13955127789",
    "kfk_live_canary0secret", "kfm_test_canary1secret", "wx-canary-reference",
    "canary\r\n{\"level\":\"error\"}\x1b[2J", "postgresql://u:canary2@h/db",
)  # fmt: skip
# Distinctive parts, should one leave in another form than it came.
TRACES = ("canary", "5926535", "5926 535", "5512-778", "5512778")
JSON = {"Content-Type": "application/json"}


class Driven(Struct):
    """What must be found nowhere, and the answers that were seen."""

    canaries: set[str]
    statuses: set[int]


async def drive(server: Server) -> Driven:
    """Everything, in an order in which the last may leave the database broken."""

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    tenant = await tenants.make(server.postgres.app_dsn, client_of, stores_count=1)
    boss_token = (await people.owner_of(server, tenant.merchant_id)).token
    driven = Driven({*TRACES, *tenant.pos_keys, tenant.merchant_key, boss_token}, set())
    async with client_of(tenant.merchant_key) as office, client_of(boss_token) as boss:
        card = await _sales(driven, office, tenant)
        for route in sorted(app.declared(), key=lambda each: each.operation_id == "sign_out"):
            for request in requests(route):
                await _send(driven, boss if people.is_for_people(route) else office, *request)
        async with client_of("") as nobody:
            for word in WORDS[:7]:
                bearer = {"Authorization": f"Bearer {word}"}
                await _send(driven, nobody, "GET", "/v1/card-templates", b"", bearer)
        owner = await asyncpg.connect(server.postgres.admin_dsn.replace("/postgres?", "/kafang?"))
        try:
            await _number_taken(driven, office, tenant, card, owner)
            await _row_refused(driven, office, tenant, card, owner)
            await _lock_waited_for(driven, office, tenant, card, owner)
            await _backends_killed(driven, office, tenant, card, owner)
            await _table_changed(driven, office, card, owner)
        finally:
            await owner.close()
    return driven


def requests(route: Route) -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """A route's requests with a canary somewhere: method, path, body, headers."""
    words = cycle(WORDS)
    path = route.path
    for name, prefix in ID_PREFIXES.items():
        path = path.replace(f"{{{name}}}", f"{prefix}_{'0' * 26}")
    path = path.replace("{business_date}", "2026-03-01")
    headers = {**JSON, "Idempotency-Key": shop.new_key()}
    full = bad.FULL.get(route.operation_id, {})
    whole = bad.document(full) if route.body is not None else b""
    for place, _ in bad.places(full):
        for word in (next(words), next(words)):
            yield route.method, path, bad.document(bad.put(full, place, word)), headers
        number = bad.Raw(WORDS[0])
        yield route.method, path, bad.document(bad.put(full, place, number)), headers
        yield route.method, path, bad.document(bad.put(full, place, {next(words): 1})), headers
    for word in WORDS:
        yield route.method, path, bad.document({**full, word: word}), headers
        yield route.method, path, f'{{"{word}'.encode(), headers
        quoted = word.replace("\r\n", "%0d%0a").replace(" ", "%20").replace("\x1b", "%1b")
        for query in (f"{quoted}={quoted}", f"limit={quoted}", f"cursor={quoted}"):
            yield route.method, f"{path}?{query}", whole, headers
        inside = quoted.replace("/", "%2f")
        yield route.method, route.path.partition("{")[0] + inside, whole, headers
        line = word.partition("\r\n")[0]
        for name in (
            "Idempotency-Key", "X-Request-Id", "User-Agent", "Content-Type", "Host", "tracestate",
            "baggage", "Cookie",
        ):  # fmt: skip
            yield route.method, path, whole, {**headers, name: line}
        yield route.method, path, whole, {**headers, "traceparent": f"00-{line}-{line}-01"}
        yield line.partition(" ")[0].replace(":", "").replace("/", ""), path, b"", {}


async def _send(
    driven: Driven, client: Client, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> Response | None:
    """One request; a line that the server cuts is an answer too."""
    with suppress(OSError, EOFError):
        answer = await client.request(method, path, body, headers)
        driven.statuses.add(answer.status)
        return answer
    return None


async def _sales(driven: Driven, office: Client, tenant: Tenant) -> tenants.TestCard:
    """What a shop does, with canaries wherever a text may be."""
    card = await shop.issue(office, tenant)
    driven.canaries |= {card.number, card.number[4:15]}
    till = dict.fromkeys(("terminal_id", "operator", "shift", "receipt_no"), "canary-till")
    store = {"store_id": tenant.store_ids[0]}
    more: dict[str, Any] = {**store, "till": till}
    topped = await shop.top_up(office, card, 90_000, payment_reference="wx-canary-valid", **more)
    sale = await shop.redeem(office, card, 100, **more, request_no="canary-request-no")
    refused = await shop.redeem(office, card, 100, **more, request_no="canary-request-no")
    quote = {"amount": shop.yuan(1), "sources": [{"card_number": card.number}], **store}
    quoted = await office.post("/v1/redemptions/quote", quote)
    driven.canaries.add(quoted.json()["quote_token"])
    found = await office.post("/v1/cards/lookup", {"card_number": card.number})
    frozen = await office.post(
        f"/v1/cards/{card.card_id}/freeze", {"reason": "canary-reason"}, "canary-key-1"
    )
    await office.post(f"/v1/cards/{card.card_id}/unfreeze", {}, "canary-key-2")
    path = f"/v1/cards/{card.number}"
    await office.get(path)
    await office.get(f"/{card.number}")
    answers = (topped, sale, refused, quoted, found, frozen)
    assert [a.status for a in answers] == [201, 201, 409, 200, 200, 200]
    driven.statuses |= {answer.status for answer in answers}
    return card


async def _number_taken(
    driven: Driven, office: Client, tenant: Tenant, card: tenants.TestCard, owner: Any
) -> None:
    """Every new card gets the number of one that is there."""
    await owner.execute(f"""
        create function same_number() returns trigger language plpgsql as
        $$ begin new.card_number := '{card.number}'; return new; end $$;
        create trigger same_number before insert on card
        for each row execute function same_number()""")
    body = {"template_id": tenant.template_id, "activate": True}
    answer = await office.post("/v1/cards", body, shop.new_key())
    driven.statuses.add(answer.status)
    await owner.execute("drop trigger same_number on card")


async def _row_refused(
    driven: Driven, office: Client, tenant: Tenant, card: tenants.TestCard, owner: Any
) -> None:
    """A row is refused with a detail that quotes it.

    PostgreSQL leaves the details of its own constraints out where row-level security binds whoever
    asks; here is one that it doesn't leave out.
    """
    await owner.execute("""
        create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'refused' using errcode = '23514', detail = new::text; end $$;
        create trigger refuse before insert on operation
        for each row when (new.kind = 'top_up') execute function refuse()""")
    more: dict[str, Any] = {"till": {"operator": "canary-x"}, "store_id": tenant.store_ids[0]}
    answer = await shop.top_up(office, card, 1, payment_reference="wx-canary", **more)
    driven.statuses.add(answer.status)
    await owner.execute("drop trigger refuse on operation")


async def _lock_waited_for(
    driven: Driven, office: Client, tenant: Tenant, card: tenants.TestCard, owner: Any
) -> None:
    async with owner.transaction():
        await owner.execute("select from card where card_number = $1 for update", card.number)
        answer = await shop.redeem(office, card, 1, store_id=tenant.store_ids[0])
        driven.statuses.add(answer.status)


async def _backends_killed(
    driven: Driven, office: Client, tenant: Tenant, card: tenants.TestCard, owner: Any
) -> None:
    """All lines to the database are cut, again and again."""
    for _ in range(3):
        await owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name in ('kafang-writer', 'kafang-reader')"
        )
        for _ in range(3):
            answer = await shop.redeem(office, card, 1, store_id=tenant.store_ids[0])
            driven.statuses.add(answer.status)


async def _table_changed(
    driven: Driven, office: Client, card: tenants.TestCard, owner: Any
) -> None:
    """What nobody foresaw: a table is not as it was."""
    await owner.execute("alter table card rename column card_number to number")
    answers = [
        await office.post("/v1/cards/lookup", {"card_number": card.number}),
        await office.get(f"/v1/cards/{card.card_id}"),
    ]
    driven.statuses |= {answer.status for answer in answers}
