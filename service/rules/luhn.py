"""Card numbers with a Luhn check digit (ISO/IEC 7812-1 annex B; CAP-B1, CAP-B2).

The check digit catches every single wrong digit and nearly every swap of neighbours.
"""

from collections.abc import Callable

RANDOM_DIGITS_MIN = 6
"""Fewer could be guessed by trying, whatever the rate limit."""

_DIGITS = b"0123456789"
_VALUE = bytes.maketrans(_DIGITS, bytes(range(10)))
# A doubled digit counts with the sum of its own digits: 7 -> 14 -> 5.
_DOUBLED = bytes.maketrans(_DIGITS, bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))


def check_digit(digits: str) -> str:
    """The digit that makes `digits` + it a valid number.

    Raises ValueError for anything but one or more of 0 to 9.
    """
    if not _only_digits(digits):
        raise ValueError(f"{digits!r}: a card number is made of the digits 0 to 9 only")
    return str(-_weighted_sum(digits + "0") % 10)


def valid(number: str) -> bool:
    """Whether `number` is two or more digits of which the last is the right check digit."""
    return len(number) > 1 and _only_digits(number) and _weighted_sum(number) % 10 == 0


def new_number(prefix: str, digits: int, random_below: Callable[[int], int]) -> str:
    """A card number of `digits` digits in all: prefix, random body, check digit.

    `random_below(n)` gives an even 0..n-1 that nobody can foresee (`secrets.randbelow`).
    Raises ValueError when the prefix isn't digits or leaves fewer than 6 random ones.
    """
    if not _only_digits(prefix):
        raise ValueError(f"prefix {prefix!r}: give one or more of the digits 0 to 9")
    random_digits = digits - len(prefix) - 1
    if random_digits < RANDOM_DIGITS_MIN:
        raise ValueError(
            f"{digits} digits with prefix {prefix!r} and check digit leave {random_digits} random"
            f" ones, at least {RANDOM_DIGITS_MIN} are needed: take more digits or a shorter prefix"
        )
    body = f"{prefix}{random_below(10**random_digits):0{random_digits}}"
    return body + check_digit(body)


def _only_digits(text: str) -> bool:
    # isdigit alone also takes digits of other scripts.
    return text.isascii() and text.isdigit()


def _weighted_sum(number: str) -> int:
    backwards = number.encode("ascii")[::-1]
    return sum(backwards[::2].translate(_VALUE)) + sum(backwards[1::2].translate(_DOUBLED))
