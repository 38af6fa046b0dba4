"""Strict decoding: every problem at once, each with its place, and never another error than 400.

THREAT-T17.
"""

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from schemas.cards import CardLookup
from service.kernel import validation
from service.kernel.problems import ProblemError

Minor = Annotated[int, Meta(ge=1, le=2**53 - 1)]


class Money(Struct, forbid_unknown_fields=True):
    value: Minor
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class Fixed(Struct, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    on: date


class Rolling(Struct, forbid_unknown_fields=True, tag_field="kind", tag="rolling"):
    days: Annotated[int, Meta(ge=1, le=3650)]


class Window(Struct, forbid_unknown_fields=True):
    opens: Annotated[int, Meta(ge=0, le=24)]
    closes: Annotated[int, Meta(ge=0, le=24)]

    def __post_init__(self) -> None:
        if self.closes <= self.opens:
            raise ValueError("closes must be after opens")


class Wanted(Struct, forbid_unknown_fields=True):
    amount: Money
    note: Annotated[str, Meta(max_length=20)] = ""
    lines: Annotated[list[Money], Meta(min_length=1, max_length=3)] | None = None
    tags: dict[Annotated[str, Meta(max_length=5)], str] | None = None
    mode: Literal["test", "live"] = "test"
    at: Annotated[datetime, Meta(tz=True)] | None = None
    validity: Fixed | Rolling | None = None
    window: Window | None = None
    extra: Any = None


class Listing(Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    active: bool | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    status: Literal["held", "captured"] | None = None


GOOD = {"amount": {"value": 1, "currency": "CNY"}}


def refusal(raw: bytes, wanted: Any = Wanted) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        validation.body(raw, wanted)
    return caught.value


def places(raw: bytes, wanted: Any = Wanted) -> list[tuple[str, str | None]]:
    return [(reason.code, reason.path) for reason in refusal(raw, wanted).reasons]


def with_field(name: str, value: Any) -> bytes:
    return json.dumps({**GOOD, name: value}).encode()


def test_a_good_body_becomes_its_type() -> None:
    body = validation.body(with_field("validity", {"kind": "rolling", "days": 3}), Wanted)
    assert body == Wanted(Money(1, "CNY"), validity=Rolling(3))


def test_every_problem_at_once() -> None:
    raw = b"""{"amount": {"value": 1.0, "currency": "yuan", "x": 1}, "note": 5, "lines":
        [{"value": 1, "currency": "CNY"}, {"value": 0}], "mode": "demo", "at": "2026-03-01T10:00",
        "validity": {"kind": "fixed", "on": "1 May"}, "unknown": 1}"""
    assert places(raw) == [
        ("unknown_field", "$.unknown"),
        ("unknown_field", "$.amount.x"),
        ("invalid_value", "$.amount.value"),
        ("invalid_value", "$.amount.currency"),
        ("invalid_value", "$.note"),
        ("invalid_value", "$.lines[1].value"),
        ("missing_field", "$.lines[1].currency"),
        ("invalid_value", "$.mode"),
        ("invalid_value", "$.at"),
        ("invalid_value", "$.validity.on"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "code", "path"),
    [
        ("amount", None, "invalid_value", "$.amount"),
        ("amount", [], "invalid_value", "$.amount"),
        ("lines", [], "invalid_value", "$.lines"),
        ("lines", [GOOD["amount"]] * 4, "invalid_value", "$.lines"),
        ("lines", {}, "invalid_value", "$.lines"),
        ("lines", [None], "invalid_value", "$.lines[0]"),
        ("tags", {"too long a name": "x"}, "invalid_value", '$.tags["too long a name"]'),
        ("tags", {"a": 1}, "invalid_value", "$.tags.a"),
        ("validity", {"kind": "never"}, "invalid_value", "$.validity.kind"),
        ("validity", {}, "invalid_value", "$.validity"),
        ("validity", {"kind": "rolling"}, "missing_field", "$.validity.days"),
        ("validity", {"kind": "rolling", "days": 0}, "invalid_value", "$.validity.days"),
        ("window", {"opens": 9, "closes": 9}, "invalid_value", "$.window"),
        ("at", "2026-03-01", "invalid_value", "$.at"),
        ("at", 1772359200, "invalid_value", "$.at"),
        ("a b", 1, "unknown_field", '$["a b"]'),
        ("n" * 100, 1, "unknown_field", f'$["{"n" * 64}"]'),
    ],
)
def test_each_kind_of_problem_names_its_place(name: str, value: Any, code: str, path: str) -> None:
    assert places(with_field(name, value)) == [(code, path)]


@pytest.mark.parametrize(
    "number",
    ["1.0", "1e2", '"1"', "true", "null", "0", "-1", str(2**53), "9" * 30, "9" * 5000, "[1]"],
)
def test_an_integer_is_written_as_one_and_within_its_limits(number: str) -> None:
    raw = b'{"amount": {"value": %s, "currency": "CNY"}}' % number.encode()
    assert places(raw) == [("invalid_value", "$.amount.value")]


def test_a_rule_over_fields_speaks_beside_other_problems() -> None:
    raw = with_field("window", {"opens": 9, "closes": 9}).replace(b'"CNY"', b"1")
    assert places(raw) == [("invalid_value", "$.amount.currency"), ("invalid_value", "$.window")]


def test_a_pattern_is_told_as_a_person_writes_it() -> None:
    body = b'{"card_number": "12-3456789"}'
    (reason,) = refusal(body, CardLookup).reasons
    assert reason.message == "Expected `str` matching regex '^[0-9]{8,32}$'."


def test_an_enumeration_says_what_it_allows() -> None:
    assert refusal(with_field("mode", "demo")).reasons[0].allowed == ["test", "live"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}x",
        b"\xef\xbb\xbf{}",
        b'{"note": "\xff"}',
        b'{"note": "a\x00b"}',
        b'{"no\x00te": ""}',
        b'{"note": "\\U0000"}',
        b'{"note": "\\ud800"}',
        b'{"note": "\\udc00"}',
        b'{"note": "\\ud800\\u0041"}',
        b'{"note": "\xed\xa0\x80"}',
        b'{"\\ud800": 1}',
        b'{"unknown": "\\uDC00"}',
        b'{"amount": {"value": 01}}',
        b'{"amount": {"value": NaN}}',
        b'{"extra": ' + b"[" * 100_000,
        b'{"extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"unknown": ' + b'{"a":' * 100_000,
        "{}".encode("utf-16"),
    ],
)
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    error = refusal(raw)
    assert (error.code.code, error.code.status, error.reasons) == ("malformed_json", 400, [])


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (with_field("note", "a\0b"), "$.note"),
        (with_field("tags", {"a": "\0"}), "$.tags.a"),
        (with_field("tags", {"a\0": "x"}), '$.tags["a\\u0000"]'),
        (with_field("extra", [{"a": ["\0"]}]), "$.extra[0].a[0]"),
    ],
)
def test_a_nul_is_refused_wherever_it_is(raw: bytes, path: str) -> None:
    msgspec.json.decode(raw, type=Wanted)  # Negative control: the decoder alone lets it through.
    assert places(raw) == [("nul_character", path)]


def test_a_nul_is_named_beside_other_problems() -> None:
    raw = with_field("note", "\0").replace(b'"CNY"', b"1")
    assert places(raw) == [("invalid_value", "$.amount.currency"), ("nul_character", "$.note")]


def test_the_text_of_a_nul_escape_is_no_nul() -> None:
    assert validation.body(with_field("note", "\\u0000"), Wanted).note == "\\u0000"


def test_a_megabyte_of_problems_is_cut() -> None:
    many = with_field("tags", {f"name {n}": n for n in range(40_000)})
    assert len(refusal(many).reasons) == validation.MAX_REASONS
    late = with_field("extra", 1).replace(b"1}", b"[" + b"1," * 400_000 + b'"\\u0000"]}')
    assert places(late) == [("nul_character", "$.extra[400000]")]
    echo = refusal(with_field("mode", "x" * 100_000)).reasons[0].message
    assert len(echo) < 300


def test_a_problem_behind_the_end_of_the_walk_is_still_named() -> None:
    raw = b"[" + b"1," * validation.MAX_NODES + b'"x"]'
    assert places(raw, list[int]) == [("invalid_value", f"$[{validation.MAX_NODES}]")]


def test_query_parameters_become_their_types() -> None:
    pairs = [("limit", "7"), ("active", "true"), ("since", "2026-03-01T00:00:00Z")]
    listing = validation.query(pairs, Listing)
    assert (listing.limit, listing.active, listing.since.year) == (7, True, 2026)


@pytest.mark.parametrize(
    ("pairs", "code", "path"),
    [
        *[([("limit", text)], "invalid_value", "$query.limit") for text in
          ("0", "201", "5.0", "1e2", " 5", "+5", "05", "", "null", "\u0665", "9" * 5000)],
        *[([("active", text)], "invalid_value", "$query.active") for text in ("1", "TRUE", "null")],
        ([("since", "1772359200")], "invalid_value", "$query.since"),
        ([("since", "2026-03-01T00:00:00")], "invalid_value", "$query.since"),
        ([("status", "x")], "invalid_value", "$query.status"),
        ([("status", "held\0")], "invalid_value", "$query.status"),
        ([("page", "2")], "unknown_field", "$query.page"),
        ([("limit", "5"), ("limit", "5")], "repeated_field", "$query.limit"),
    ],
)  # fmt: skip
def test_a_bad_query_names_its_parameter(
    pairs: list[tuple[str, str]], code: str, path: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        validation.query(pairs, Listing)
    assert (code, path) in [(reason.code, reason.path) for reason in caught.value.reasons]
    assert caught.value.code.code == "invalid_request"


def test_a_nul_in_a_query_is_refused() -> None:
    class Search(Struct):
        name: str

    with pytest.raises(ProblemError) as caught:
        validation.query([("name", "a\0")], Search)
    assert [reason.code for reason in caught.value.reasons] == ["nul_character"]


def answer(decode: Callable[[], Any]) -> Any:
    """The value, or the 400; any other exception fails the test."""
    try:
        return decode()
    except ProblemError as error:
        return error


def check(raw: bytes) -> None:
    """Either a value, without a NUL, or a 400 that says why."""
    got = answer(lambda: validation.body(raw, Wanted))
    if isinstance(got, ProblemError):
        assert got.code.code == "malformed_json" or got.reasons
        msgspec.json.decode(got.body("req_1"))
    else:
        assert isinstance(got, Wanted)
        assert b"\\u0000" not in msgspec.json.encode(got).replace(b"\\\\", b"")


NAMES = st.sampled_from(
    sorted({*Wanted.__struct_fields__, *Money.__struct_fields__, "kind", "on", "days", "opens"})
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["fixed", "live", "CNY", "2026-03-01", "\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4)
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.binary())
def test_whatever_bytes_come_in(raw: bytes) -> None:
    check(raw)
    check(b'{"amount": {"value": 1, "currency": "CNY"}, "note": "' + raw + b'"}')


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=5))
def test_whatever_json_comes_in(document: dict[str, Any]) -> None:
    check(json.dumps(document).encode())
    check(json.dumps({**GOOD, **document}, ensure_ascii=False).encode(errors="surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["limit", "active", "since", "x"]), st.text())))
def test_whatever_query_comes_in(pairs: list[tuple[str, str]]) -> None:
    got = answer(lambda: validation.query(pairs, Listing))
    assert got.reasons if isinstance(got, ProblemError) else isinstance(got, Listing)
