"""A phone in one form, and how much of it is shown."""

import re
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from service.rules.persons import Phone, phone, phone_index
from tests.rules.properties import Property, each


@pytest.mark.parametrize(
    ("text", "number", "masked"),
    [
        ("13800138000", "+8613800138000", "138****8000"),
        ("+8613800138000", "+8613800138000", "138****8000"),
        ("19912345678", "+8619912345678", "199****5678"),
        ("+447911123456", "+447911123456", "+****456"),
        ("+85251234567", "+85251234567", "+****567"),
        ("+861012345678", "+861012345678", "+****678"),
        ("+1234567", "+1234567", "+****567"),
        ("+123456789012345", "+123456789012345", "+****345"),
    ],
)
def test_a_phone_has_one_form(text: str, number: str, masked: str) -> None:
    assert phone(text) == Phone(number, masked)


@pytest.mark.parametrize(
    "text",
    ["", "1", "12800138000", "1380013800", "138001380000", "+86138001380000", "+0123456789",
     "008613800138000", "86 13800138000", "138-0013-8000", "+123456", "+1234567890123456",
     "+8613800138", "\uff11\uff13800138000", "13800138000\n", " 13800138000", "+",
     "+44791112345x", "²3800138000"],
)  # fmt: skip
def test_what_is_no_phone(text: str) -> None:
    with pytest.raises(ValueError, match="no phone"):
        phone(text)


def test_no_two_merchants_have_one_index() -> None:
    indexes = {
        phone_index(key, merchant, number)
        for key in (b"k" * 32, b"l" * 32)
        for merchant in ("mer_1", "mer_2")
        for number in ("+8613800138000", "+8613800138001")
    }
    assert len(indexes) == 8
    assert {len(index) for index in indexes} == {32}


def is_in_e164_and_stays(read: Callable[[str], Phone], text: str) -> None:
    try:
        found = read(text)
    except ValueError:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", found.number)
    assert read(found.number) == found
    assert found.number.endswith(text.removeprefix("+"))


def is_the_same_with_its_country(read: Callable[[str], Phone], digits: str) -> None:
    assert read(f"1{digits}") == read(f"+861{digits}")


def hides_four_digits(read: Callable[[str], Phone], digits: str) -> None:
    number = f"+4{digits}"
    shown = read(number).masked
    assert len(number) - len(shown.replace("*", "")) >= 4
    assert shown[-3:] == number[-3:]


def lenient(text: str) -> Phone:
    return Phone(text, text)


def forgets_the_country(text: str) -> Phone:
    found = phone(text)
    return Phone(text, found.masked)


digits = st.text("0123456789", min_size=9, max_size=9).map(lambda rest: f"3{rest}")
PROPERTIES = [
    Property(is_in_e164_and_stays, phone, lenient,
             (st.text("+0123456789 ", max_size=16) | digits.map(lambda rest: f"1{rest}"),)),
    Property(is_the_same_with_its_country, phone, forgets_the_country, (digits,)),
    Property(hides_four_digits, phone, lenient,
             (st.text("0123456789", min_size=6, max_size=13),)),
]  # fmt: skip


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
