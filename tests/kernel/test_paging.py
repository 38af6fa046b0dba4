"""Pages hold every row once, and a cursor that isn't ours is a 400."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from service.kernel import paging, validation
from service.kernel.problems import ProblemError

Key = tuple[int, Annotated[str, Meta(pattern="^[a-z_0-9]+$")]]


class Listing(Struct, forbid_unknown_fields=True):
    limit: paging.Limit = paging.LIMIT_DEFAULT
    cursor: paging.Cursor | None = None


def rows_after(rows: list[Key], key: Key | None, count: int) -> list[Key]:
    """What the query of a list does."""
    return [row for row in rows if key is None or row > key][:count]


@given(st.sets(st.integers(0, 10**6), max_size=60), st.integers(1, 20))
def test_every_row_comes_once(numbers: set[int], limit: int) -> None:
    rows: list[Key] = [(number, f"crd_{number}") for number in sorted(numbers)]
    seen: list[Key] = []
    cursor = None
    for _ in range(len(rows) + 1):
        key = paging.decode_cursor(cursor, Key)
        data, cursor = paging.page(rows_after(rows, key, limit + 1), limit, lambda row: row)
        assert len(data) <= limit
        seen += data
        if cursor is None:
            break
    assert cursor is None
    assert seen == rows


def test_the_last_full_page_has_no_next() -> None:
    assert paging.page([1, 2], 2, str) == ([1, 2], None)
    data, cursor = paging.page([1, 2, 3], 2, str)
    assert data == [1, 2]
    assert paging.decode_cursor(cursor, str) == "2"


GOOD = paging.encode_cursor((5, "crd_5"))
BAD_CURSORS = [
    "",
    "x",
    "%%%",
    "é",
    GOOD + "=",
    GOOD + "\n",
    GOOD[:-1],
    GOOD[:4] + "*" + GOOD[4:],
    paging.encode_cursor(5),
    paging.encode_cursor(None),
    paging.encode_cursor(["5", "crd_5"]),
    paging.encode_cursor([5, "crd_\0"]),
    paging.encode_cursor([5, "crd_5", 1]),
    "W" * 512,
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    assert paging.decode_cursor(GOOD, Key) == (5, "crd_5")
    with pytest.raises(ProblemError) as caught:
        paging.decode_cursor(cursor, Key)
    assert caught.value.code.code == "invalid_request"
    assert [reason.path for reason in caught.value.reasons] == ["$query.cursor"]


def test_a_nul_in_a_plain_text_is_refused() -> None:
    assert paging.decode_cursor(paging.encode_cursor(r"a\u0000"), str) == r"a\u0000"
    with pytest.raises(ProblemError):
        paging.decode_cursor(paging.encode_cursor("a\0"), str)


@given(st.text())
def test_whatever_cursor_comes_in(cursor: str) -> None:
    try:
        got: Any = paging.decode_cursor(cursor, Key)
    except ProblemError:
        return
    assert paging.encode_cursor(got) == cursor


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "201"), ("cursor", ""), ("cursor", "x" * 513)]
)
def test_the_fields_have_limits(name: str, value: str) -> None:
    assert validation.query([("limit", "200"), ("cursor", GOOD)], Listing).cursor == GOOD
    with pytest.raises(ProblemError) as caught:
        validation.query([(name, value)], Listing)
    assert [reason.path for reason in caught.value.reasons] == [f"$query.{name}"]
