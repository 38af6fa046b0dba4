"""One walk through every route with the contract's own request examples; its answers are examples.

`python -m tests.contract.flow` writes service/examples.json anew. Ids, card number, dates and
the quote token are replaced by invented, stable ones, the same in requests and answers.
"""

import asyncio
import json
import re
from base64 import b32decode
from itertools import count
from time import time
from typing import Any

from schemas.common import EXAMPLE_NUMBER
from service import app
from service.kernel.ids import example_id
from service.kernel.paging import encode_cursor
from service.kernel.replies import JSON
from service.records.rules import Chained, canonical, digest, first
from service.sessions import rules
from tests.harness import people, platform
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant

FILE = servers.ROOT / "service" / "examples.json"
ROUTES = {route.operation_id: route for route in app.declared()}
# A test clock only goes forward: the walk is ten years ahead of what the examples show.
START, AHEAD_YEARS = "2036-03-02T06:15:00Z", 10
MONTH = "opening_at=2036-01-31T16:00:00Z"
# In a table's text an id may come right after the \\n of a line's end.
ID = re.compile(r"(?:\b|(?<=\\n))([a-z]{3})_[0-9a-v]{26}\b")
MEMBER_TOKEN = re.compile(r"kfm_test_[0-9a-v]+")
# Secrets of people, cut short; and instants by the real clock, as theirs all are.
SECRETS = re.compile(r"(kf[kst]_test_|kfd_)[0-9a-v]+")
TOTP = re.compile(r"[A-Z2-7]{32}")
RECOVERY = re.compile(r"\b[0-9a-v]{4}(-[0-9a-v]{4}){3}\b")
INSTANT = re.compile(r"20\d\d-\d\d-\d\dT[0-9:.]+Z")
BY_THE_REAL_CLOCK = ("Organisation", "People", "API keys", "Approvals")
EXAMPLE_TOKEN = "AAABnKZcMqAAAAAAAAAiYA2v0bQ1V4mJ8rXkT7yHc9w="  # invented
EXAMPLE_MEMBER_TOKEN = "kfm_test_" + "06f2k9v3c0a1b2c3d4e5f6g7h8" * 2 + "…"  # invented, cut short


class Walk:
    """Sends examples and keeps the first answer of each operation."""

    def __init__(self, office: Client, pos: Client, boss: Client, store_id: str) -> None:
        self.office = office
        self.pos = pos
        self.boss = boss
        self.store = {"store_id": store_id}
        self.answers: dict[str, Any] = {}
        self._keys = count(1)

    async def send(self, operation_id: str, body: Any = None, /, **ids: str) -> dict[str, Any]:
        """The answer to a route's example, changed by `body`; `ids` fill the path and the query."""
        route = ROUTES[operation_id]
        pos = not route.scope.startswith(
            (
                "templates:",
                "cards:freeze",
                "days:reopen",
                "reports:",
                "events:",
                "audit:",
                "test_clock:",
                "member_tokens:",
                "stores:",
            )
        )
        client = self.pos if pos else self.office
        if people.is_for_people(route):
            client = self.boss
        query = ids.pop("query", "")
        path = route.path.format(**ids) + query
        if route.method == "GET":
            answer = await client.get(path)
        else:
            key = f"POS12-20260301-{next(self._keys):06d}-1" if route.idempotent else None
            example = route.example_body or {}
            store = self.store if "store_id" in example else {}
            answer = await client.post(path, {**example, **store, **(body or {})}, key)
        if answer.status not in route.answers:
            raise RuntimeError(f"{operation_id}: {answer.status} {answer.body!r}")
        if route.media_type != JSON:
            self.answers[operation_id] = answer.body.decode("utf-8")
            return {}
        self.answers.setdefault(operation_id, answer.json())
        return dict(answer.json())


async def walk(server: Server, tenant: Tenant) -> dict[str, Any]:
    """Every operation's answer, as it was."""
    office = Client(server.host, server.port, tenant.merchant_key)
    pos = Client(server.host, server.port, tenant.pos_keys[0])
    owner = await people.owner_of(server, tenant.merchant_id)
    boss = Client(server.host, server.port, owner.token)
    async with office, pos, boss:
        assert (await office.post("/v1/test-clock", {"now": START})).status == 200
        steps = Walk(office, pos, boss, tenant.store_ids[0])
        card_id, number = await _card(steps)
        await _sales(steps, card_id, number)
        await steps.send("freeze_card", card_id=card_id)
        await steps.send("unfreeze_card", card_id=card_id)
        await steps.send("get_statement", card_id=card_id)
        await steps.send("get_card_record", card_id=card_id)
        await _members(steps, number, tenant.template_id)
        await steps.send("get_receipt", operation_id=steps.answers["create_redemption"]["id"])
        await steps.send("get_last_operation", query="?terminal_id=T2")
        day = {"store_id": tenant.store_ids[0], "business_date": START[:10]}
        for name in ("get_day", "close_day", "reopen_day"):
            await steps.send(name, **day)
        await steps.send("report_liability", query="?by=template")
        await steps.send("report_movements", query=f"?by=store&{MONTH}")
        await steps.send("report_settlements", query=f"?{MONTH}")
        await steps.send("report_operations", query=f"?{MONTH}&closing_at={START}&limit=3")
        await _events(steps)
        await steps.send("list_audit_entries", query="?action=day.reopened")
        await _tree(steps)
        await _keys(steps)
        await _people(server, steps, tenant.merchant_id)
        await _approvals(server, steps, tenant.merchant_id)
        await _visits(server, steps, tenant.merchant_id)
        await steps.send("move_test_clock", {"now": "2040-01-01T00:00:00Z"})
        await steps.send("live")
        await steps.send("ready")
        await steps.send("list_error_codes")
    shown = steps.answers["list_error_codes"]
    shown |= {name: shown[name][:2] for name in ("data", "reasons")}
    return steps.answers


async def _card(steps: Walk) -> tuple[str, str]:
    template = await steps.send("create_card_template")
    named = {"template_id": template["id"]}
    await steps.send("get_card_template", **named)
    await steps.send("list_card_templates", query="?limit=1")
    issued = await steps.send("issue_card", named)
    dormant = await steps.send("issue_card", {**named, "activate": False})
    await steps.send("activate_card", card_id=dormant["id"])
    await steps.send("create_top_up", card_id=issued["id"])
    await steps.send("look_up_card", {"card_number": issued["card_number"]})
    await steps.send("get_card", card_id=issued["id"])
    return issued["id"], issued["card_number"]


async def _events(steps: Walk) -> None:
    """The feed from the first top-up on, once that has its number."""
    top_up = steps.answers["create_top_up"]["id"]
    async with asyncio.timeout(30):
        while True:
            events = (await steps.office.get("/v1/events?limit=1000")).json()["data"]
            for event in events:
                if event["operation"] and event["operation"]["operation_id"] == top_up:
                    await steps.send("list_events", query=f"?after={event['seq'] - 1}&limit=2")
                    return


async def _tree(steps: Walk) -> None:
    area = (await steps.send("create_area"))["id"]
    await steps.send("list_areas")
    inside = {"parent_id": area}
    another = (await steps.send("create_area", {"name": "上海", **inside}))["id"]
    moved = {"parent_id": None, "from_parent_id": area}
    await steps.send("move_area", moved, area_id=another)
    await steps.send("change_policy", node_id=area)
    await steps.send("get_policy", node_id=another)
    await steps.send("list_policies")
    store = await steps.send("create_store", inside)
    await steps.send("list_stores")
    await steps.send("get_store", store_id=store["id"])
    await steps.send("move_store", moved, store_id=store["id"])


async def _keys(steps: Walk) -> None:
    key = (await steps.send("create_api_key"))["key"]["id"]
    await steps.send("rotate_api_key", api_key_id=key)
    await steps.send("list_api_keys", query="?limit=2")
    await steps.send("revoke_api_key", api_key_id=key)


async def _people(server: Server, steps: Walk, merchant_id: str) -> None:
    """Somebody is invited, comes in, gets a second factor and another role, and goes."""
    node = {"node_id": steps.store["store_id"]}
    invited = await steps.send("invite_user", node)
    user = {"user_id": invited["user"]["id"]}
    await steps.send("list_users")
    await steps.send("get_user", **user)
    await steps.send("redeem_ticket", {"token": invited["token"]})
    given = await steps.send("give_role", node, **user)
    cashier = next(grant["id"] for grant in given["roles"] if grant["role"] == "cashier")
    await steps.send("revoke_role", grant_id=cashier, **user)
    signed_in = await steps.send("sign_in", {"merchant_id": merchant_id})
    own, steps.boss = steps.boss, Client(server.host, server.port, signed_in["token"])
    async with steps.boss:
        await steps.send("get_me")
        await steps.send("list_roles")
        await steps.send("list_sessions")
        another = await steps.send("sign_in", {"merchant_id": merchant_id})
        await steps.send("end_session", session_id=another["session_id"])
        passwords = {"new_password": ROUTES["change_password"].example_body["new_password"]}
        await steps.send("change_password", passwords)
        secret = await steps.send("begin_totp", {"password": passwords["new_password"]})
        code = rules.totp(b32decode(secret["secret"])).generate(int(time())).decode()
        await steps.send("confirm_totp", {"one_time_code": code})
    steps.boss = own
    version = (await own.get(f"/v1/users/{user['user_id']}")).json()["version"]
    await steps.send("disable_user", {"version": version}, **user)
    await steps.send("enable_user", {"version": version + 1}, **user)
    await steps.send("reset_user", **user)
    await steps.send("sign_out")


async def _approvals(server: Server, steps: Walk, merchant_id: str) -> None:
    """A sale is dear enough to want two people for its refund, and then it isn't refunded."""
    own = steps.boss
    people_there = [await people.owner_of(server, merchant_id) for _ in range(2)]
    first, second = [Client(server.host, server.port, each.token) for each in people_there]
    async with first, second:
        steps.boss = first
        await steps.send("get_authority")
        limit = {"kind": "refund", "amount_above": 100, "roles": ["owner"], "approvers": 2}
        await steps.send("change_authority", {"rules": [limit]})
        steps.boss = second
        sale = steps.answers["create_redemption"]["id"]
        path = f"/v1/redemptions/{sale}/refunds"
        amount = {"amount": {"value": 101, "currency": "CNY"}}
        refused = await steps.pos.post(path, amount, "POS12-20360302-000900-1")
        approval_id = refused.json()["reasons"][0]["existing_id"]
        waiting = await steps.send("get_approval", approval_id=approval_id)
        seen = {"digest": waiting["digest"]}
        await steps.send("approve", seen, approval_id=approval_id)
        steps.boss = first
        await steps.send("reject", seen, approval_id=approval_id)
        await steps.send("list_approvals")
    steps.boss = own


async def _visits(server: Server, steps: Walk, merchant_id: str) -> None:
    """Support looks after a ticket, and the owner ends it."""
    own, owner = steps.boss, await people.owner_of(server, merchant_id)
    visitor = await platform.hired(server, "platform_support")
    boss, steps.boss = [Client(server.host, server.port, each.token) for each in (owner, visitor)]
    async with boss, steps.boss:
        begun = await steps.send("begin_visit", {"merchant_id": merchant_id})
        steps.boss = boss
        await steps.send("list_visits")
        await steps.send("end_visit", visit_id=begun["visit"]["id"])
    steps.boss = own


async def _members(steps: Walk, number: str, template_id: str) -> None:
    member_id = (await steps.send("create_member"))["id"]
    await steps.send("list_members")
    await steps.send("bind_card", {"card_number": number}, member_id=member_id)
    gift = await steps.send("issue_card", {"template_id": template_id})
    bound = {"member_id": member_id, "card_id": gift["id"]}
    by_id = {"card_number": None, "card_id": gift["id"]}
    await steps.send("bind_card", by_id, member_id=member_id)
    await steps.send("unbind_card", **bound)
    for name in ("look_up_member", "get_member", "list_member_cards", "issue_member_token",
                 "sign_out_member", "change_member_phone"):  # fmt: skip
        await steps.send(name, member_id=member_id)
    await steps.send("change_member_name", member_id=member_id)
    for name in ("unmask_member", "copy_member_data"):
        await steps.send(name, member_id=member_id)
    hold = (await steps.send("place_legal_hold", member_id=member_id))["id"]
    await steps.send("release_legal_hold", member_id=member_id, legal_hold_id=hold)
    await steps.send("list_legal_holds", member_id=member_id)
    leaves = await steps.pos.post("/v1/members", {"external_id": "wx-leaves"})
    await steps.send("erase_member", member_id=leaves.json()["id"])


async def _sales(steps: Walk, card_id: str, number: str) -> None:
    by_number = {"sources": [{"card_number": number}]}
    await steps.send("quote_redemption", by_number)
    sale = await steps.send("create_redemption", by_number)
    await steps.send("find_redemptions", query=f"?request_no={sale['request_no']}")
    await steps.send("get_redemption", redemption_id=sale["id"])
    await steps.send("create_refund", redemption_id=sale["id"])
    mistaken = {**by_number, "request_no": "POS12-20260301-000482"}
    second = await steps.send("create_redemption", mistaken)
    await steps.send("void_redemption", redemption_id=second["id"])
    unanswered = {**ROUTES["create_redemption"].example_body, **steps.store, **by_number}
    unanswered["request_no"] = "POS12-20260301-000483"
    key = "POS12-20260301-000483-1"
    assert (await steps.pos.post("/v1/redemptions", unanswered, key)).status == 201
    await steps.send("create_reversal", {"idempotency_key": key})
    for last in "45":  # refused attempts belong to a card's record
        request_no = f"POS12-20260301-00048{last}"
        dear = {**unanswered, "request_no": request_no, "lines": []}
        dear["amount"] = {"value": 10**8, "currency": "CNY"}
        assert (await steps.pos.post("/v1/redemptions", dear, f"{request_no}-1")).status == 409


def invented(answers: dict[str, Any]) -> dict[str, Any]:
    """The answers with stable, invented ids, card number, dates and token."""
    number = answers["issue_card"]["card_number"]
    text = json.dumps(answers, ensure_ascii=False)
    text = text.replace(number, EXAMPLE_NUMBER)
    masked = f"8800 **** **** {number[-4:]}"
    text = text.replace(masked, f"8800 **** **** {EXAMPLE_NUMBER[-4:]}")
    text = text.replace(answers["quote_redemption"]["quote_token"], EXAMPLE_TOKEN)
    text = MEMBER_TOKEN.sub(EXAMPLE_MEMBER_TOKEN, text)
    # By the real clock, unlike all else.
    text = text.replace(answers["issue_member_token"]["expires_at"], "2036-03-02T06:30:00.604Z")
    seen: dict[str, list[str]] = {}

    def renamed(found: re.Match[str]) -> str:
        known = seen.setdefault(found[1], [])
        if found[0] not in known:
            known.append(found[0])
        return example_id(found[1], known.index(found[0]))

    text = ID.sub(renamed, text)
    cursor = encode_cursor(example_id("tpl"))
    text = re.sub(r'"next_cursor": "[^"]+"', f'"next_cursor": "{cursor}"', text)
    text = re.sub(r"\b(20\d\d)-", lambda year: f"{int(year[1]) - AHEAD_YEARS}-", text)
    made = dict(json.loads(text))
    _prove(made["get_card_record"])
    for entry in made["list_audit_entries"]["data"]:  # by the real clock, too
        entry["recorded_at"] = "2026-03-01T22:15:00.604202Z"
    for name, answer in made.items():
        if ROUTES[name].tag in BY_THE_REAL_CLOCK:
            made[name] = _masked(answer)
    return made


def _masked(answer: Any) -> Any:
    """Without secrets, and with instants that stay as they are."""
    text = json.dumps(answer, ensure_ascii=False)
    text = SECRETS.sub(lambda found: f"{found[1]}06f2k9v3c0a1b2c3d4e5f6g7h8…", text)
    text = TOTP.sub("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", text)
    text = RECOVERY.sub("06f2-k9v3-c0a1-b2c3", text)
    return json.loads(INSTANT.sub("2026-03-01T22:15:00.604202Z", text))


def _prove(record: dict[str, Any]) -> None:
    """Reckon the digests anew: whoever tries a check of the proof on the example finds it good."""
    for name in ("movements", "refusals"):
        chain = Chained(first(record["card"]["id"], name))
        for line in record[name]:
            del line["digest"]
            chain.add(line)
            line["digest"] = chain.closing
        record["proof"][name] = {"opening": chain.opening, "closing": chain.closing}
    rest = {key: record[key] for key in record if key not in ("movements", "refusals", "proof")}
    record["proof"]["head"] = digest(canonical(rest))


def shape(value: Any) -> Any:
    """A value's fields and kinds, without what it holds; a list is as its first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


async def _main() -> dict[str, Any]:
    with servers.running() as server:

        def client_of(token: str) -> Client:
            return Client(server.host, server.port, token)

        tenant = await tenants.make(server.postgres.app_dsn, client_of)
        return invented(await walk(server, tenant))


def make() -> None:
    """Write the examples; the server that makes them starts without, as old ones may not fit."""
    before = FILE.read_text("utf-8") if FILE.exists() else "{}"
    FILE.write_text("{}", "utf-8")
    try:
        made = json.dumps(asyncio.run(_main()), indent=2, ensure_ascii=False) + "\n"
    except BaseException:
        FILE.write_text(before, "utf-8")
        raise
    FILE.write_text(made, "utf-8")


if __name__ == "__main__":
    make()
