"""Prefixed, time-sortable ids: `crd_` + 26 characters (48 bits of milliseconds, 80 random bits), base 32 hex, lower case."""

import os
import re
import time
from base64 import b32hexencode

_SORTED = "0123456789abcdefghijklmnopqrstuv"
PATTERN = re.compile(r"^[a-z]{3}_[0-9a-v]{26}$")

_last: tuple[int, str] = (0, "")


def new_id(prefix: str) -> str:
    """A new id; ids made later sort later, across processes to the millisecond."""
    global _last
    now_ms = time.time_ns() // 1_000_000
    if _last[0] != now_ms:
        _last = (now_ms, _time_part(now_ms))
    return f"{prefix}_{_last[1]}{b32hexencode(os.urandom(10)).decode('ascii').lower()}"


def is_id(prefix: str, text: str) -> bool:
    """Whether the text has the form of an id with this prefix; one that has not can't name anything."""
    return text.startswith(f"{prefix}_") and PATTERN.match(text) is not None


def _time_part(now_ms: int) -> str:
    return "".join(_SORTED[now_ms >> shift & 31] for shift in range(45, -1, -5))
