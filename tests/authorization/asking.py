"""What is sent for a cell: named after the cell's object, and refused for another reason."""

import json
from typing import Any

from service.kernel.routes import Route
from tests.api import shop
from tests.authorization import world as worlds
from tests.authorization.world import World
from tests.harness import people, platform
from tests.harness.tenant import TEMPLATE

DEAR = 10**12
PERIOD = "?opening_at=2026-01-01T00:00:00Z"
# What is allowed would change the state: each such cell has a card of its own.
CHANGES = {"activate_card", "freeze_card", "unfreeze_card"}


def path_of(world: World, route: Route, kind: str, relation: str, state: str) -> str:
    """The path and the query."""
    thing = "" if kind in ("merchant", "number", "request") else named(world, kind, relation, state)
    side = world.theirs if relation == "foreign" else world.ours
    ids = {
        "card_id": thing if kind == "card" else _bound(side.things, relation, state),
        "template_id": thing,
        "member_id": named(world, "member", relation, "without") if kind == "hold" else thing,
        "legal_hold_id": thing,
        "redemption_id": thing,
        "operation_id": thing,
        "store_id": thing,
        "node_id": thing,
        "area_id": thing,
        "user_id": thing,
        "session_id": thing,
        "api_key_id": thing,
        "approval_id": thing,
        "visit_id": thing,
        "grant_id": "grt_" + worlds.ABSENT,
        "business_date": world.ours.things["date", "", state] if kind == "day" else "",
    }
    if kind == "till":
        ids["card_id"] = world.ours.things["card", "own", state]
    queries = {
        "find_redemptions": f"?request_no=none&store_id={thing}",
        "get_last_operation": f"?terminal_id=T2&store_id={thing}",
        "report_movements": PERIOD,
        "report_settlements": PERIOD,
        "report_operations": PERIOD,
    }
    return route.path.format(**ids) + queries.get(route.operation_id, "")


def named(world: World, kind: str, relation: str, state: str) -> str:
    """The id of what a cell is about."""
    if kind in ("till", "sale", "node", "at", "last"):
        return world.thing("node", relation)
    return world.thing(kind, relation, state)


def body_of(world: World, route: Route, kind: str, relation: str, state: str) -> bytes:
    """A good body; what it asks for is refused, or is so already."""
    if route.body is None:
        return b""
    ours, name = world.ours, route.operation_id
    number = ours.cards[state].number if kind in ("sale", "number") else ""
    store_id = named(world, kind, relation, state) if kind in ("till", "sale", "node") else ""
    dear = {"amount": shop.yuan(DEAR), "store_id": store_id}
    sale = {**dear, "sources": [{"card_number": number}]}
    stale = {"version": 2**31 - 1}
    bodies: dict[str, Any] = {
        "create_card_template": {**TEMPLATE, "currency": "USD"},
        "issue_card": {"template_id": ours.tenant.template_id},
        "look_up_card": {"card_number": number},
        "create_member": {"external_id": "without"},
        "look_up_member": {"external_id": "without"},
        "change_member_phone": {"phone": "13800138000", **stale},
        "change_member_name": {"full_name": None, **stale},
        "unmask_member": {"fields": ["phone"], "purpose": "contact", "note": "a test"},
        "copy_member_data": {"note": "a test"},
        "erase_member": {"note": "a test", **stale},
        "place_legal_hold": {"reason": "a test"},
        "bind_card": {"card_id": ours.things["another", "own", ""]},
        "unbind_card": {"binding_no": 1},
        "create_top_up": {**dear, "amount": shop.yuan(1, "USD"), "tender": "cash"},
        "quote_redemption": sale,
        "create_redemption": {**sale, "request_no": shop.new_key()},
        "create_refund": {"amount": shop.yuan(DEAR)},
        "create_reversal": {"idempotency_key": _request(world, kind, relation, state)},
        "close_day": {"change_no": 999},
        "reopen_day": {"change_no": 999, "reason": "a test"},
        "move_test_clock": {"now": "2020-01-01T00:00:00Z"},
        "create_store": {"code": "own", "name": "another", "legal_entity": "own"},
        "move_store": _place(world, "store", relation),
        "change_policy": {"version": 2**31 - 2, "rules": {}},
        "create_area": {"name": "east"},
        "move_area": _place(world, "area", relation, state),
        "invite_user": {
            "email": f"own-active@{people.DOMAIN}", "role": "cashier", "node_id": store_id
        },
        "disable_user": stale,
        "enable_user": stale,
        "give_role": {
            "role": "cashier",
            "node_id": world.ours.things["node", relation, ""]
            if relation in worlds.OURS
            else world.ours.things["node", "own", ""],
        },
        "change_password": {"current_password": "wrong", "new_password": "wrong"},
        "begin_totp": {"password": "wrong"},
        "confirm_totp": {"one_time_code": "000000"},
        "approve": {"digest": "0" * 64},
        "reject": {"digest": "0" * 64},
        "begin_visit": {
            "merchant_id": "mer_" + worlds.ABSENT,
            "role": "visiting_reviewer",
            "reason": platform.REASON,
        },
        "change_authority": {"version": 2**31 - 2, "rules": []},
        "create_api_key": {"name": "x", "scopes": ["nothing:at_all"]},
    }  # fmt: skip
    return json.dumps(bodies.get(name, {})).encode()


def _bound(things: dict[tuple[str, ...], str], relation: str, state: str) -> str:
    """A card that was this member's, and is nobody's."""
    return things["bound", "own", state if ("bound", "own", state) in things else "without"]


def _request(world: World, kind: str, relation: str, state: str) -> str:
    return world.thing("request", relation, state) if kind == "request" else ""


def _place(world: World, kind: str, relation: str, state: str = "") -> dict[str, str | None]:
    """Where it is already."""
    inside = {"own": "east", "sibling": "inner", "other": "west", "franchise": "west"}
    name = inside.get(relation) if kind == "store" else {"inside": "east"}.get(state)
    parent = world.ours.things["node", name, ""] if name else None
    return {"parent_id": parent, "from_parent_id": parent}
