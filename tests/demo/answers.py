"""What answers say: which value moved, what was sold, why not."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.demo.messages import Entry
from tests.demo.wares import ZONE
from tests.harness.client import Response

_ZONE = ZoneInfo(ZONE)
Entries = Callable[[dict[str, Any]], list[Entry]]


def codes(answer: Response) -> list[str]:
    """Why an answer is no success: the reasons, or the problem itself when it has none."""
    if answer.status < 400:
        return []
    problem = answer.json()
    return [reason["code"] for reason in problem["reasons"]] or [problem["code"]]


def missing(answer: Response) -> int:
    """What the card was short of, in minor units."""
    return sum(reason.get("missing_minor", 0) for reason in answer.json()["reasons"])


def late_night(answer: dict[str, Any]) -> bool:
    """Booked on the day before, because the store's day goes on after midnight."""
    at = datetime.fromisoformat(answer["recorded_at"]).astimezone(_ZONE)
    return date.fromisoformat(answer["business_date"]) < at.date()


def goods(answer: dict[str, Any]) -> dict[str, int]:
    """What a redemption sold: fen by sku."""
    sold: dict[str, int] = {}
    for line in answer["lines"]:
        sold[line["sku"]] = sold.get(line["sku"], 0) + line["total"]
    return sold


def by_account(flow: str, operation_id: str, allocations: list[dict[str, Any]]) -> Entry:
    """Allocations of an answer, summed per account."""
    sums = {"principal": 0, "bonus": 0}
    for part in allocations:
        sums[part["account"]] += part["value"]
    return Entry(flow, operation_id, sums["principal"], sums["bonus"])


def _issued(answer: dict[str, Any]) -> list[Entry]:
    return [Entry("issue", answer["id"], 0, 0)]


def _topped(answer: dict[str, Any]) -> list[Entry]:
    return [Entry("top_up", answer["id"], answer["paid"]["value"], answer["bonus"]["value"])]


def _undone(answer: dict[str, Any]) -> list[Entry]:
    """A redemption nobody was told of: it happened and was reversed, or never did."""
    if answer["outcome"] != "reversed":
        return []
    taken = by_account("redeem", answer["target_id"], answer["allocations"])
    back = by_account("redeem_reversed", answer["id"], answer["allocations"])
    return [taken, back]


def _taken_back(answer: dict[str, Any]) -> list[Entry]:
    if answer["outcome"] != "reversed":
        return []
    return [by_account("top_up_reversed", answer["id"], answer["allocations"])]


def _of(flow: str) -> Entries:
    return lambda answer: [by_account(flow, answer["id"], answer["allocations"])]


# What a success of each kind of request has moved; other kinds move nothing.
ENTRIES: dict[str, Entries] = {
    "issue": _issued,
    "top_up": _topped,
    "redeem": _of("redeem"),
    "refund": _of("refund"),
    "void": _of("void"),
    "reversal": _undone,
    "payment_failed": _taken_back,
}
