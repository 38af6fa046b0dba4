"""The chain of a record: what a stranger reckons with the standard library, and what it detects."""

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import LotChange, Movement, Refusal
from schemas.redemptions import Line, LineRefund
from service.kernel.problems import because
from service.ledger.reasons import CARD_FROZEN
from service.records.rules import Chained, canonical, digest, first
from tests.contract import flow
from tests.harness.server import ROOT

GUIDE = (ROOT / "service" / "docs" / "guides" / "record.md").read_text("utf-8")
Record = dict[str, Any]


def checked(record: Record) -> None:
    """Run the check as the guide shows it; raises AssertionError for a record that isn't whole."""
    [program] = re.findall(r"<<'END'\n(import hashlib.*?)^END\n", GUIDE, re.DOTALL | re.MULTILINE)
    assert len(program.splitlines()) <= 13
    exec(program.replace("json.load(sys.stdin)", "given"), {"given": copy.deepcopy(record)})  # noqa: S102  # the guide's own text is what is tested


@pytest.fixture(name="record")
def _record() -> Record:
    """The contract's example."""
    record: Record = json.loads(flow.FILE.read_text("utf-8"))["get_card_record"]
    assert len(record["movements"]) >= 6
    assert len(record["refusals"]) >= 2
    return record


def test_CAP_G2_the_guides_check_finds_a_record_whole(record: Record) -> None:
    checked(record)


Harm = Callable[[Record], object]
HARMS: dict[str, Harm] = {
    "an amount altered": lambda r: r["movements"][2].update(amount=1),
    "a balance altered": lambda r: r["movements"][-1].update(principal=10**9),
    "a basket altered": lambda r: next(m for m in r["movements"] if m["lines"])["lines"].clear(),
    "a field added": lambda r: r["movements"][0].update(note="paid in full"),
    "a field taken": lambda r: r["movements"][0].pop("reason"),
    "a line removed": lambda r: r["movements"].pop(3),
    "the last line removed": lambda r: r["movements"].pop(),
    "the first line removed": lambda r: r["movements"].pop(0),
    "two lines swapped": lambda r: r["movements"].insert(2, r["movements"].pop(3)),
    "a line repeated": lambda r: r["movements"].insert(2, dict(r["movements"][2])),
    "a refusal altered": lambda r: r["refusals"][0].update(amount=1),
    "a refusal removed": lambda r: r["refusals"].pop(),
    "refusals swapped": lambda r: r["refusals"].reverse(),
    "the contract altered": lambda r: r["contract"]["rules"].update(max_balance=1),
    "a sum altered": lambda r: r["totals"][0].update(closing=1),
    "a credit removed": lambda r: r["lots"].pop(),
    "another card's number": lambda r: r["card"].update(masked_number="8800 **** **** 0000"),
    "another card's id": lambda r: r["card"].update(id="crd_" + "0" * 26),
}


@pytest.mark.parametrize("harm", HARMS)
def test_it_finds_each_harm(record: Record, harm: str) -> None:
    HARMS[harm](record)
    with pytest.raises(AssertionError):
        checked(record)


def test_a_line_with_its_digest_made_anew_breaks_the_next_one(record: Record) -> None:
    """Whoever alters one line has to alter all after it, and the digests printed before tell."""
    line = record["movements"][3]
    line["amount"] += 1
    text = canonical({name: value for name, value in line.items() if name != "digest"})
    line["digest"] = digest(record["movements"][2]["digest"].encode() + text)
    with pytest.raises(AssertionError):
        checked(record)


def test_the_head_knows_a_chain_of_another_card(record: Record) -> None:
    other = first("crd_" + "0" * 26, "movements")
    assert record["proof"]["movements"]["opening"] == first(record["card"]["id"], "movements")
    assert record["proof"]["movements"]["opening"] != other != first("crd_" + "0" * 26, "refusals")


NAMES = st.from_regex(r"[a-z_]{1,9}\Z")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(NAMES, PLAIN, max_size=5))
def test_the_canonical_form_is_that_of_the_standard_library(value: dict[str, Any]) -> None:
    """Byte for byte, with every character: so whoever has Python can check."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical(value) == text.encode("utf-8")


@given(lines=st.lists(st.dictionaries(NAMES, PLAIN, max_size=4), max_size=5))
def test_a_line_is_sent_as_it_was_reckoned(lines: list[dict[str, Any]]) -> None:
    chain = Chained(first("crd_1", "movements"))
    for line in lines:
        line.pop("digest", None)
        chain.add({**line, "x": 1})
    sent = json.loads(msgspec.json.encode(chain.lines))
    closing = chain.opening
    for line in sent:
        told = line.pop("digest")
        text = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        closing = digest((closing + text).encode("utf-8"))
        assert told == closing
    assert closing == chain.proof.closing


def test_the_text_of_a_line_never_changes() -> None:
    """Prints hold digests for ever: a field more in a line would make all of them look false."""
    at = datetime(2026, 3, 1, 6, 15, 0, 604202, UTC)
    sold = Movement(
        version=4, operation_id="rdm_1", kind="redeem", recorded_at=at, occurred_at=at,
        business_date=date(2026, 3, 1), store_id="sto_1", legal_entity="青禾", terminal_id="T2",
        operator=None, shift=None, receipt_no=None, request_no="A-1", amount=8_800, tender=None,
        payment_reference=None, reason=None, lines=[Line("1", "CUT", 1, 9_800, 8_800, 1_000)],
        refunded_lines=[LineRefund("1", 1)], undoes=None, undoes_version=None,
        lots=[LotChange("lot_1", "principal", -8_800)], principal_delta=-8_800, bonus_delta=0,
        principal=1, bonus=2, status="active",
    )  # fmt: skip
    refused = Refusal(
        operation_id="rdm_2", kind="redeem", at_version=4, recorded_at=at,
        business_date=date(2026, 3, 1), store_id=None, legal_entity=None, terminal_id=None,
        operator=None, shift=None, receipt_no=None, request_no="A-2", amount=1, currency="CNY",
        undoes=None,
        code="redemption_refused", reasons=[because(CARD_FROZEN)],
    )  # fmt: skip
    assert (
        digest(canonical(sold))
        == "fc03d702c4cba88c702ca08e33ce50de645ba9b4f6f6fff0ebec18af2a17c1e1"
    )
    assert (
        digest(canonical(refused))
        == "49513528375b4243854370aed28600ee0b21dec2f320f4df7c8e6a49349cd062"
    )
