"""Prefixed, time-sortable ids: `crd_` and 26 characters of base 32 hex, in lower case.

The first 10 characters are milliseconds since 1970, the other 16 are 80 bits: random for the first
of a millisecond, and further by a random step for each that follows.
"""

import os
import re
import time

PATTERN = re.compile(r"[a-z]{3}_[0-9a-v]{26}")

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
# Two characters at a time: half the steps of one at a time, on a path that runs twice a request.
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]

# A call for random bytes costs more than the id around them: fetch them for many at once.
_BLOCK = 128
_random: list[int] = []
_last: tuple[int, str, int] = (0, "", 0)
# Nobody reaches the end of the 80 bits in a millisecond: it takes two billion steps.
_FIRST_BITS, _STEP_BITS = 79, 48


def new_id(prefix: str) -> str:
    """A new id; ids made later sort later, across processes to the millisecond."""
    global _last
    now_ms = time.time_ns() // 1_000_000
    last_ms, text, number = _last
    if last_ms == now_ms:
        number += 1 + (_random80() >> 80 - _STEP_BITS)
    else:
        text, number = base32(now_ms, 5), _random80() >> 80 - _FIRST_BITS
    _last = (now_ms, text, number)
    return f"{prefix}_{text}{base32(number, 8)}"


def example_id(prefix: str, number: int = 0) -> str:
    """An invented id, for the contract's examples."""
    return f"{prefix}_06f2k9v3c0a1b2c3d4e5f6g7h{_DIGITS[8 + number]}"


def _random80() -> int:
    global _random
    if not _random:
        block = os.urandom(10 * _BLOCK)
        _random = [int.from_bytes(block[i : i + 10]) for i in range(0, len(block), 10)]
    return _random.pop()


def _forget_random() -> None:
    """A forked worker must not hand out its parent's numbers again."""
    global _last
    _random.clear()
    _last = (0, "", 0)


os.register_at_fork(after_in_child=_forget_random)


def is_id(prefix: str, text: str) -> bool:
    """Whether the text has the form of an id that begins so; one without can't name anything."""
    return text.startswith(prefix) and PATTERN.fullmatch(text) is not None


def base32(number: int, pairs: int) -> str:
    """The lowest `10 * pairs` bits of a number as `2 * pairs` characters that sort as it does."""
    table = _PAIRS
    return "".join([table[number >> shift & 1023] for shift in range(10 * pairs - 10, -1, -10)])
