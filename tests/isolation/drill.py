"""Every route is called for every kind of caller, with ids of one's own and of others'.

What comes back is searched for watermarks and for merchants' ids: none but the caller's may be
there.
"""

import asyncio
import random
import re
from collections import Counter
from typing import Any

from msgspec import Struct, field

from schemas.common import EXAMPLE_NUMBER
from service import app
from service.kernel.routes import Route
from tests.harness import contract
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.isolation.world import Tenant, fresh_no

CALLERS = 16
CALLS_MIN = 100
ROUTES = [route for route in app.declared() if route.scope]
KINDS = ("pos", "merchant", "merchant", "member", "boss", "boss", "visiting")
EXAMPLE_ID = re.compile(r"\b([a-z]{3})_06f2k9v3c0a1b2c3d4e5f6g7h[0-9a-v]\b")
MARK = re.compile(rb"wm-\d{4}-x")
MERCHANT = re.compile(rb"\bmer_[0-9a-v]{26}\b")
PERIOD = "opening_at=2020-01-01T00:00:00Z"
QUERIES = {
    "find_redemptions": "request_no={no}&store_id={sto}",
    "get_last_operation": "terminal_id=terminal%20{mark}&store_id={sto}",
    "report_movements": PERIOD,
    "report_settlements": PERIOD,
    "report_operations": f"{PERIOD}&limit=1000",
    "list_events": "limit=1000",
    "list_audit_entries": "limit=200",
    "list_members": "limit=200",
    "list_card_templates": "limit=200",
    "list_stores": "limit=200",
    "list_users": "limit=200",
    "list_api_keys": "limit=200",
    "list_approvals": "limit=200",
    "list_visits": "limit=200",
}
# They would end what others of the drill need.
SPARED = {"move_test_clock", "sign_out_member", "close_day", "erase_member"}
# It would end the session of whoever asks.
NOT_AS_ONESELF = {"sign_out"}
# What people give new things, one of its own each.
UNIQUE = ("code", "name", "full_name", "email")


class Drill(Struct):
    """What was asked and what leaked: (route, caller's mark, what was found)."""

    server: Server
    tenants: list[Tenant]
    chance: random.Random
    bytes_wanted: int
    calls: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0
    leaks: list[tuple[str, str, str]] = field(default_factory=list)

    async def run(self, until_leaked: bool = False) -> None:
        """Call until every route was called often enough and enough has come back."""
        self.until_leaked = until_leaked

        async def work() -> None:
            while self._next_is_due():
                await self._call(self._next_route())

        await asyncio.gather(*(work() for _ in range(CALLERS)))

    until_leaked: bool = False

    def _next_is_due(self) -> bool:
        if self.until_leaked and self.leaks:
            return False
        rare = any(self.calls[route.operation_id] < CALLS_MIN for route in ROUTES)
        return rare or self.bytes_read < self.bytes_wanted

    def _next_route(self) -> Route:
        rare = [route for route in ROUTES if self.calls[route.operation_id] < CALLS_MIN]
        return self.chance.choice(rare or ROUTES)

    async def _call(self, route: Route) -> None:
        self.calls[route.operation_id] += 1
        caller, other = self.chance.sample(self.tenants, 2)
        named = other if self.chance.random() < 0.5 else caller
        kind = self.chance.choice(KINDS)
        if route.operation_id in NOT_AS_ONESELF and kind in ("boss", "visiting"):
            kind = "merchant"
        if route.operation_id == "begin_visit":  # the platform names whom it likes
            named, kind = caller, self.chance.choice(("visitor 2", "boss"))
        async with Client(self.server.host, self.server.port, caller.keys[kind]) as client:
            answer = await self._send(client, route, caller, named)
        self.statuses[answer.status] += 1
        self.succeeded[route.operation_id] += answer.status < 300
        self.bytes_read += len(answer.body)
        self._search(route, caller, answer)

    async def _send(self, client: Client, route: Route, caller: Tenant, named: Tenant) -> Response:
        ids = {name: f"{{{prefix}}}" for name, prefix in PATH_IDS.items()}
        if route.operation_id == "activate_card":
            ids["card_id"] = "{dormant}"
        path = route.path.format(**ids, business_date=contract.BUSINESS_DATE)
        query = QUERIES.get(route.operation_id, "")
        text = f"{path}?{query}" if query else path
        text = text.format(**named.ids, mark=named.mark, no=fresh_no(caller.mark))
        if route.method == "GET":
            return await client.get(text)
        if route.operation_id in SPARED and named is caller:
            text = text.replace(caller.ids["mbr"], "mbr_" + "0" * 26)
            text = text.replace(caller.ids["crd"], "crd_" + "0" * 26)
            text = text.replace(caller.ids["sto"], "sto_" + "0" * 26)
        body = filled(route.example_body, caller, named)
        if route.operation_id == "create_member":  # what is sent is what is shown
            body = {"external_id": fresh_no(caller.mark)}
        elif route.operation_id == "change_authority":  # with any, everything else would wait
            body["rules"] = []
        elif route.operation_id == "look_up_member":
            body = {"external_id": named.mark}
        return await client.post(text, body, fresh_no(caller.mark) if route.idempotent else None)

    def _search(self, route: Route, caller: Tenant, answer: Response) -> None:
        told = {*MARK.findall(answer.body), *MERCHANT.findall(answer.body)}
        told -= {caller.mark.encode(), caller.ids["mer"].encode()}
        for found in told:
            self.leaks.append((route.operation_id, caller.mark, found.decode()))


PATH_IDS = {
    "card_id": "crd",
    "template_id": "tpl",
    "redemption_id": "rdm",
    "store_id": "sto",
    "node_id": "sto",
    "member_id": "mbr",
    "operation_id": "opn",
    "area_id": "are",
    "user_id": "usr",
    "grant_id": "grt",
    "session_id": "ses",
    "api_key_id": "spare_key",
    "approval_id": "apv",
    "legal_hold_id": "lgh",
    "visit_id": "vis",
}


def filled(value: Any, caller: Tenant, named: Tenant) -> Any:
    """A route's example with the ids of whoever is named, and the caller's marks."""
    if isinstance(value, dict):
        made = {name: filled(item, caller, named) for name, item in value.items()}
        if "request_no" in made:
            made["request_no"] = fresh_no(caller.mark)
        for name in made.keys() & {*UNIQUE}:
            made[name] = fresh_no(caller.mark) + "@x.example" * (name == "email")
        if "external_id" in made:
            made["external_id"] = named.mark
        if "now" in made:
            made["now"] = "2001-01-01T00:00:00Z"
        return made
    if isinstance(value, list):
        return [filled(item, caller, named) for item in value]
    if value == EXAMPLE_NUMBER:
        return named.number
    if isinstance(value, str):
        return EXAMPLE_ID.sub(lambda found: named.ids.get(found[1], found[0]), value)
    return value
