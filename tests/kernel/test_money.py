"""Currencies and the bounds of an amount."""

import json

import pytest

from service.kernel.money import _CODES, AMOUNT_MAX, EXPONENTS, exponent, written


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        *(("CNY", 2), ("USD", 2), ("EUR", 2), ("HUF", 2), ("MGA", 2), ("MRU", 2), ("TWD", 2)),
        *(("JPY", 0), ("KRW", 0), ("VND", 0), ("ISK", 0), ("UGX", 0), ("XOF", 0), ("UYI", 0)),
        *(("KWD", 3), ("BHD", 3), ("OMR", 3), ("JOD", 3), ("IQD", 3), ("LYD", 3), ("TND", 3)),
        *(("CLF", 4), ("UYW", 4), ("XCG", 2), ("ZWG", 2), ("SLE", 2), ("VED", 2), ("XAD", 2)),
    ],
)
def test_exponents(currency: str, digits: int) -> None:
    assert exponent(currency) == digits


@pytest.mark.parametrize(
    "currency",
    # withdrawn, without a minor unit, or no code at all
    ["HRK", "BGN", "ANG", "ZWL", "SLL", "CUC", "XAU", "XDR", "XXX", "XTS", "cny", "CN", "", "RMB"],
)
def test_what_is_no_currency_is_refused_with_a_way_out(currency: str) -> None:
    with pytest.raises(ValueError, match=f"^'{currency}' is no active ISO 4217 currency; send"):
        exponent(currency)


def test_the_table_is_the_list_of_2026() -> None:
    listed = [code for codes in _CODES.values() for code in codes.split()]
    assert len(listed) == len(set(listed)) == len(EXPONENTS) == 165
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in listed)
    counts = {digits: len(codes.split()) for digits, codes in _CODES.items()}
    assert counts == {0: 17, 2: 139, 3: 7, 4: 2}


def test_the_largest_amount_survives_a_reader_that_knows_only_doubles() -> None:
    assert json.loads(str(AMOUNT_MAX), parse_int=float) == AMOUNT_MAX
    assert int(float(AMOUNT_MAX)) != int(float(AMOUNT_MAX - 1))
    beyond = AMOUNT_MAX + 2
    assert int(float(beyond)) != beyond


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123_450, "CNY", "¥1,234.50"),
        (0, "CNY", "¥0.00"),
        (-5, "CNY", "−¥0.05"),
        (1_234_567, "JPY", "JPY\u00a01,234,567"),
        (1_234, "KWD", "KWD\u00a01.234"),
        (-100, "USD", "−US$1.00"),
        (2**53 - 1, "EUR", "€90,071,992,547,409.91"),
    ],
)
def test_an_amount_is_written_by_its_exponent(minor: int, currency: str, text: str) -> None:
    assert written(minor, currency) == text
