"""What people are known by: one form for every way it is written, and what a screen shows of it."""

import hmac
import re
import unicodedata

from msgspec import Struct

_MAINLAND = re.compile(r"(?:\+86)?(1[3-9][0-9]{9})")
# E.164, but for what begins as a mobile number of the mainland and is none.
_ELSEWHERE = re.compile(r"\+(?!861[3-9])[1-9][0-9]{6,14}")


class Phone(Struct, frozen=True):
    """A number in E.164, and as much of it as a screen may show."""

    number: str
    masked: str


def phone(text: str) -> Phone:
    """The phone that a text means: 11 digits of the Chinese mainland, or + and the country code.

    Raises ValueError for any other text; nothing in it is skipped or guessed.
    """
    if found := _MAINLAND.fullmatch(text):
        digits = found[1]
        return Phone(f"+86{digits}", f"{digits[:3]}****{digits[-4:]}")
    if _ELSEWHERE.fullmatch(text):
        return Phone(text, f"+****{text[-3:]}")
    raise ValueError("this is no phone number")


def phone_index(key: bytes, merchant_id: str, number: str) -> bytes:
    """What stands for a phone in the database, for one merchant.

    `key` is the service's for this purpose: without it nobody can try numbers, with it no two
    merchants have the same index for one phone.
    """
    own_key = hmac.digest(key, merchant_id.encode("ascii"), "sha256")
    return hmac.digest(own_key, number.encode("ascii"), "sha256")


def person_name(text: str) -> str:
    """A name in one form. Raises ValueError where it has what no name has."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name or any(unicodedata.category(sign)[0] == "C" for sign in name):
        raise ValueError("this is no name")
    return name


def masked_name(name: str) -> str:
    """As much of a name as a screen may show: its first character."""
    return f"{name[0]}*"
