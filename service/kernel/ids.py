"""Prefixed, time-sortable ids: `crd_` and 26 characters of base 32 hex, in lower case.

The first 10 characters are milliseconds since 1970, the other 16 are 80 random bits.
"""

import os
import re
import time

PATTERN = re.compile(r"[a-z]{3}_[0-9a-v]{26}")

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
# Two characters at a time: half the steps of one at a time, on a path that runs twice a request.
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]

_last: tuple[int, str] = (0, "")


def new_id(prefix: str) -> str:
    """A new id; ids made later sort later, across processes to the millisecond."""
    global _last
    now_ms = time.time_ns() // 1_000_000
    if _last[0] != now_ms:
        _last = (now_ms, base32(now_ms, 5))
    return f"{prefix}_{_last[1]}{base32(int.from_bytes(os.urandom(10)), 8)}"


def is_id(prefix: str, text: str) -> bool:
    """Whether the text has the form of an id with this prefix; one without can't name anything."""
    return text.startswith(f"{prefix}_") and PATTERN.fullmatch(text) is not None


def base32(number: int, pairs: int) -> str:
    """The lowest `10 * pairs` bits of a number as `2 * pairs` characters that sort as it does."""
    table = _PAIRS
    return "".join([table[number >> shift & 1023] for shift in range(10 * pairs - 10, -1, -10)])
