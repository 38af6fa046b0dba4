"""Pages of a list: an opaque cursor holds the last row's key, so each page costs the same.

The cursor is no secret and grants nothing: the tenant comes from the credential, never from it. One
that was tampered with shows another part of the same tenant's list, at most.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from service.kernel.problems import INVALID_REQUEST, INVALID_VALUE, ProblemError, because
from service.kernel.validation import NUL

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
CURSOR_MAX = 512

Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many at most.")]
Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=CURSOR_MAX,
        description="`next_cursor` of the page before; opaque, and only for the same list.",
    ),
]


class Paging(Struct, forbid_unknown_fields=True):
    """Which part of a list."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


Row = TypeVar("Row")


def encode_cursor(key: Any) -> str:
    """The cursor for a key: any plain value, a tuple or a Struct."""
    return urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str | None, wanted: Any) -> Any:
    """The key in a cursor, as the wanted type; None for the first page. Raises 400.

    The type carries the limits of its columns: int64 for a bigint, for one.
    """
    if cursor is None:
        return None
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        key = msgspec.json.decode(raw, type=wanted)
    except (ValueError, RecursionError):  # Not ASCII, not base 64, not JSON, not the type.
        raise refusal() from None
    # Spare characters don't come back, and PostgreSQL's text can't hold a NUL.
    if encode_cursor(key) != cursor or NUL in raw.replace(rb"\\", b""):
        raise refusal()
    return key


def page(
    rows: Sequence[Row], limit: int, key: Callable[[Row], Any]
) -> tuple[list[Row], str | None]:
    """The page's `data` and `next_cursor`, from up to `limit` + 1 rows: the last tells of more."""
    data = list(rows[:limit])
    return data, encode_cursor(key(data[-1])) if len(rows) > limit else None


def refusal() -> ProblemError:
    """The 400 for a cursor that isn't one of ours; its place is `$query.cursor`."""
    reason = because(INVALID_VALUE, "Send the cursor as it was, or none.", path="$query.cursor")
    return ProblemError(INVALID_REQUEST, reasons=[reason])
