"""Bad bodies made from good ones: every field spoiled in every way its type has."""

import copy
import json
from collections.abc import Iterator
from typing import Any, get_args

from msgspec import NODEFAULT, Struct, structs

from tests.harness import contract

Place = tuple[str | int, ...]
STORE, CARD, TEMPLATE = "sto_" + "0" * 26, "crd_" + "0" * 26, "tpl_" + "0" * 26
MEMBER, AREA = "mbr_" + "0" * 26, "are_" + "0" * 26
TILL = {"terminal_id": "T2", "operator": "0417", "shift": "早班", "receipt_no": "000481"}
AMOUNT = {"value": 8_800, "currency": "CNY"}
LINE = {
    "line_id": "1", "sku": "CUT", "quantity": 1, "list_price": 9_800, "discount": 1_000, "tax": 0,
    "total": 8_800, "category": "hair",
}  # fmt: skip
SOURCE = {"card_number": "8800123412341237", "card_id": CARD}
QUOTED = {"amount": AMOUNT, "sources": [SOURCE], "store_id": STORE, "lines": [LINE]}
SWITCHES, MOST = ("redemptions", "top_ups", "issues"), ("redemption_max", "top_up_max")
# A body with every field of its Struct, by operation; what a field is spoiled from.
FULL: dict[str, dict[str, Any]] = {
    "create_card_template": {
        "name": "金卡", "currency": "CNY", "holder": "named",
        "numbering": {"prefix": "8800", "digits": 16}, "max_balance": 500_000,
        "drawdown_policy": "pro_rata", "validity": {"type": "after_activation", "period": "P3Y"},
        "stores": {"mode": "include", "ids": [STORE]},
        "top_up_rules": [{"pay": 30_000, "bonus": 5_000, "bonus_validity": "P1Y"}],
        "max_cards": 1_000,
    },
    "issue_card": {"template_id": TEMPLATE, "activate": True, "store_id": STORE},
    "look_up_card": {"card_number": "8800123412341237"},
    "activate_card": {"reason": "sold", "store_id": STORE},
    "freeze_card": {"reason": "stolen", "store_id": STORE},
    "unfreeze_card": {"reason": "found", "store_id": STORE},
    "create_member": {
        "external_id": "wx-o6_bmjrPTlm6", "phone": "13800138000", "full_name": "张伟"
    },
    "look_up_member": {"external_id": "wx-o6_bmjrPTlm6", "phone": "13800138000"},
    "change_member_phone": {"phone": "13800138000", "version": 1},
    "change_member_name": {"full_name": "张伟", "version": 1},
    "unmask_member": {"fields": ["full_name", "phone"], "purpose": "refund", "note": "call back"},
    "copy_member_data": {"note": "asked at the counter"},
    "erase_member": {"version": 1, "note": "asked in the app"},
    "place_legal_hold": {"reason": "court order"},
    "bind_card": {"card_number": "8800123412341237", "card_id": CARD},
    "unbind_card": {"binding_no": 1},
    "issue_member_token": {"expires_in_s": 900},
    "create_top_up": {
        "amount": AMOUNT, "tender": "cash", "payment_reference": "420000", "store_id": STORE,
        "till": TILL,
    },
    "create_redemption": {
        **QUOTED, "request_no": "POS12-1", "till": TILL, "quote_token": "bm9uZQ==",
        "expected_payable": 8_800,
    },
    "quote_redemption": QUOTED,
    "create_refund": {
        "amount": AMOUNT, "lines": [{"line_id": "1", "value": 1}], "reason": "returned",
        "till": TILL,
    },
    "void_redemption": {"reason": "wrong card", "till": TILL},
    "create_reversal": {"idempotency_key": "till-0001-1", "reason": "no answer"},
    "close_day": {"change_no": 0},
    "reopen_day": {"change_no": 1, "reason": "closed too early"},
    "create_store": {
        "code": "SH-0417", "name": "人民广场店", "legal_entity": "星河美发管理有限公司",
        "time_zone": "Asia/Shanghai", "day_cutoff": "04:00", "parent_id": AREA,
        "contract": ["cards:read"],
    },
    "move_store": {"parent_id": AREA, "from_parent_id": AREA},
    "create_area": {"name": "华东", "parent_id": AREA},
    "move_area": {"parent_id": AREA, "from_parent_id": AREA},
    "sign_in": {
        "merchant_id": "mer_" + "0" * 26, "email": "chen.yu@xinghe.example",
        "password": "Teal-Heron.49 naps", "one_time_code": "481203", "device_token": "kfd_none",
    },
    "begin_totp": {"password": "Teal-Heron.49 naps"},
    "confirm_totp": {"one_time_code": "481203"},
    "invite_user": {"role": "cashier", "node_id": STORE, "email": "chen.yu@xinghe.example"},
    "give_role": {"role": "cashier", "node_id": STORE},
    "disable_user": {"version": 1},
    "enable_user": {"version": 1},
    "reset_user": {"second_factor": True},
    "redeem_ticket": {"token": "kft_none", "password": "Teal-Heron.49 naps"},
    "change_password": {"current_password": "Teal-Heron.49 naps", "new_password": "x",
        "one_time_code": "481203",
    },
    "create_api_key": {
        "name": "Till 12", "scopes": ["cards:read"], "store_id": STORE,
        "expires_at": "2031-03-01T02:00:00Z", "networks": ["203.0.113.0/24"], "signed": True,
    },
    "rotate_api_key": {"overlap_s": 60},
    "approve": {"digest": "9f" * 32, "note": "bill seen"},
    "reject": {"digest": "9f" * 32, "note": "no bill"},
    "begin_visit": {
        "merchant_id": "mer_" + "0" * 26, "role": "visiting_support", "reason": "ticket 20481",
    },
    "change_policy": {
        "version": 0,
        "rules": {
            **{name: {"value": True, "locked": True} for name in SWITCHES},
            **{name: {"value": 50_000, "locked": True} for name in MOST},
        },
    },
    "change_authority": {
        "version": 0,
        "rules": [
            {
                "kind": "refund", "roles": ["finance"], "approvers": 1, "amount_above": 50_000,
                "day_amount_above": 100_000, "day_count_above": 20,
            },
        ],
    },
    "move_test_clock": {"now": "2031-03-01T02:00:00Z"},
}  # fmt: skip
# Numbers as they are written: JSON tells 1.0 and 1e3 from 1 and 1000, and so does a ledger.
RAW = ["1.0", "1e3", "1E0", "-1", str(2**63), str(-(2**63) - 1), "0." + "9" * 30, "9" * 400]


class Raw(str):
    """Text that goes into the document as it is."""

    __slots__ = ()


def document(value: Any) -> bytes:
    """A value as JSON, with its raw parts in place."""
    raws: list[str] = []

    def marked(part: Any) -> Any:
        if isinstance(part, Raw):
            raws.append(part)
            return f"@raw{len(raws) - 1}@"
        if isinstance(part, dict):
            return {name: marked(item) for name, item in part.items()}
        return [marked(item) for item in part] if isinstance(part, list) else part

    text = json.dumps(marked(value), ensure_ascii=False)
    for number, raw in enumerate(raws):
        text = text.replace(f'"@raw{number}@"', raw)
    return text.encode("utf-8", "surrogatepass")


def places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place inside a value, outermost first."""
    if place:
        yield place, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*place, name))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from places(item, (*place, position))


def spoiled(value: Any) -> list[Any]:
    """What can't stand in a value's place."""
    if isinstance(value, bool):
        return ["true", 1, 0, [], {}]
    if isinstance(value, int):
        return ["5", True, [], {}, *map(Raw, RAW)]
    if isinstance(value, str):
        return [5, Raw("1.5"), True, [], {}, "x\x00", "x\n" * 200]
    return [5, "x", True, [5] if isinstance(value, dict) else {}]


def filled(path: str) -> str:
    """A route's path with ids of the right form that name nothing."""
    ids = {
        "card_id": CARD,
        "template_id": TEMPLATE,
        "redemption_id": "rdm_" + "0" * 26,
        "store_id": STORE,
        "member_id": MEMBER,
        "business_date": contract.BUSINESS_DATE,
        "operation_id": "opn_" + "0" * 26,
        "area_id": AREA,
        "node_id": STORE,
        "user_id": "usr_" + "0" * 26,
        "grant_id": "grt_" + "0" * 26,
        "session_id": "ses_" + "0" * 26,
        "api_key_id": "key_" + "0" * 26,
        "approval_id": "apv_" + "0" * 26,
        "legal_hold_id": "lgh_" + "0" * 26,
        "visit_id": "vis_" + "0" * 26,
    }
    return path.format(**ids)


def at(value: Any, place: Place) -> Any:
    """What is at a place."""
    for step in place:
        value = value[step]
    return value


def put(value: Any, place: Place, new: Any) -> Any:
    """A copy with one place replaced."""
    changed = copy.deepcopy(value)
    inside = changed
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = new
    return changed


def without(value: Any, place: Place) -> Any:
    """A copy with one place taken out."""
    changed = copy.deepcopy(value)
    inside = changed
    for step in place[:-1]:
        inside = inside[step]
    del inside[place[-1]]
    return changed


def path_of(place: Place) -> str:
    """A place as problems name it."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "$" + "".join(steps)


def struct_of(annotation: Any) -> Any:
    """The Struct inside an annotation, or None."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    found = (struct_of(part) for part in get_args(annotation) if part is not annotation)
    return next((part for part in found if part is not None), None)


def declared(cls: Any, place: Place = ()) -> Iterator[tuple[Place, bool]]:
    """Every field of a Struct and of those inside it: its place, and whether it is required."""
    for field in structs.fields(cls):
        here = (*place, field.encode_name)
        yield here, field.default is NODEFAULT and field.default_factory is NODEFAULT
        inner = struct_of(field.type)
        if inner is not None:
            yield from declared(inner, here)
