"""Card numbers and their check digit. THREAT-T6."""

import secrets
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from service.rules.luhn import check_digit, new_number, valid
from tests.rules.properties import Property, each


@pytest.mark.parametrize(
    ("digits", "check"),
    # the standard's own sample, well-known test numbers, and the shortest
    [
        ("7992739871", "3"),
        ("411111111111111", "1"),
        ("37828224631000", "5"),
        ("0", "0"),
        ("1", "8"),
    ],
)
def test_CAP_B2_check_digit(digits: str, check: str) -> None:
    assert check_digit(digits) == check
    assert valid(digits + check)
    assert not any(valid(f"{digits}{other}") for other in set("0123456789") - {check})


@pytest.mark.parametrize("digits", ["", "12a", "-1", " 1", "1\n", "\uff11\uff12", "²", "八"])
def test_other_than_digits(digits: str) -> None:
    assert not valid(digits)
    with pytest.raises(ValueError, match="made of the digits 0 to 9 only"):
        check_digit(digits)


def test_one_digit_is_no_number() -> None:
    assert not valid("0")
    assert valid("00")


def test_CAP_B1_a_number_is_prefix_zero_padded_body_and_check_digit() -> None:
    asked: list[int] = []

    def seven(below: int) -> int:
        asked.append(below)
        return 7

    assert new_number("8800", 16, seven) == "8800" + "00000000007" + "0"
    assert asked == [10**11]


@pytest.mark.parametrize(
    ("prefix", "digits", "why"),
    [
        ("", 16, "prefix ''"),
        ("88A", 16, "prefix '88A': give one or more of the digits 0 to 9"),
        ("\uff18\uff18", 16, "prefix '\uff18\uff18'"),
        (
            "8800",
            10,
            "10 digits with prefix '8800' and check digit leave 5 random ones, at least 6",
        ),
        ("8800", 0, "leave -5 random ones"),
    ],
)
def test_what_can_be_guessed_is_refused(prefix: str, digits: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        new_number(prefix, digits, secrets.randbelow)


def test_six_random_digits_are_enough() -> None:
    assert len(new_number("8800", 11, secrets.randbelow)) == 11


def agrees_with_the_definition(check_digit: Callable[[str], str], digits: str) -> None:
    total = 0
    for place, digit in enumerate(reversed(digits + check_digit(digits))):
        doubled = int(digit) * (1 + place % 2)
        total += doubled // 10 + doubled % 10
    assert total % 10 == 0


def sees_a_wrong_digit(check_digit: Callable[[str], str], digits: str, i: int, by: int) -> None:
    i %= len(digits)
    wrong = digits[:i] + str((int(digits[i]) + by) % 10) + digits[i + 1 :]
    assert check_digit(wrong) != check_digit(digits)


def sees_swapped_neighbours(check_digit: Callable[[str], str], digits: str, i: int) -> None:
    """All but 09 and 90, which Luhn can't tell apart."""
    i %= len(digits) - 1
    pair = digits[i : i + 2]
    swapped = digits[:i] + pair[::-1] + digits[i + 2 :]
    same = pair[0] == pair[1] or pair in ("09", "90")
    assert (check_digit(swapped) == check_digit(digits)) is same


def has_the_asked_shape(
    new_number: Callable[[str, int, Callable[[int], int]], str], prefix: str, more: int, seed: int
) -> None:
    digits = len(prefix) + 7 + more
    number = new_number(prefix, digits, lambda below: seed % below)
    assert len(number) == digits
    assert number.startswith(prefix)
    assert valid(number)
    assert int(number[len(prefix) : -1]) == seed % 10 ** (6 + more)


def not_folded(digits: str) -> str:
    total = sum(int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits)))
    return str(-total % 10)


def plain_sum(digits: str) -> str:
    return str(-sum(map(int, digits)) % 10)


def not_padded(prefix: str, digits: int, random_below: Callable[[int], int]) -> str:
    body = f"{prefix}{random_below(10 ** (digits - len(prefix) - 1))}"
    return body + check_digit(body)


digits = st.text("0123456789", min_size=2, max_size=24)
PROPERTIES = [
    Property(agrees_with_the_definition, check_digit, not_folded, (digits,)),
    Property(
        sees_a_wrong_digit, check_digit, not_folded, (digits, st.integers(0, 99), st.integers(1, 9))
    ),
    Property(sees_swapped_neighbours, check_digit, plain_sum, (digits, st.integers(0, 99))),
    Property(
        has_the_asked_shape,
        new_number,
        not_padded,
        (st.text("0123456789", min_size=1, max_size=8), st.integers(0, 8), st.integers(0, 10**14)),
    ),
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
