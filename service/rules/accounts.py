"""Accounts: an address in one form, a password nobody guesses, and how long who failed waits."""

import hmac
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct
from zxcvbn import zxcvbn

from schemas.problems import Reason
from service.kernel.problems import because, define_reason

PASSWORD_MIN = 10
# zxcvbn's scale goes to 4; 3 takes some 10^8 guesses.
SCORE_MIN = 3
# It looks at so much of a password; the time it takes grows faster than the text.
LOOKED_AT = 72
# What is known of somebody stands in no password of theirs, from so many characters on.
WORD_MIN = 3
# Mail that comes with a person, not with a company.
PERSONAL_MAIL = frozenset(
    (
        "126.com", "139.com", "163.com", "189.cn", "aliyun.com", "foxmail.com", "gmail.com",
        "hotmail.com", "icloud.com", "live.cn", "live.com", "msn.com", "outlook.com", "proton.me",
        "qq.com", "sina.cn", "sina.com", "sohu.com", "tom.com", "vip.qq.com", "wo.cn", "yahoo.com",
        "yeah.net",
    )
)  # fmt: skip

PASSWORD_SHORT = define_reason("password_too_short", f"Use at least {PASSWORD_MIN} characters.")
PASSWORD_PLAIN = define_reason(
    "password_too_plain", "Use each of: an upper-case letter, a lower-case letter, a digit, a sign."
)
PASSWORD_GUESSABLE = define_reason(
    "password_guessable",
    "Many people would think of it. Take several words that don't belong together.",
)
PASSWORD_BREACHED = define_reason(
    "password_breached", "It was stolen somewhere, and is tried everywhere since. Take another."
)
MAIL_IS_PERSONAL = define_reason(
    "mail_is_personal", "Use the address at the company: this one belongs to a person."
)


class Email(Struct, frozen=True):
    """An address in one form, and as much of it as a screen may show."""

    address: str
    domain: str
    masked: str


def email(text: str) -> Email:
    """The address that a text means; case doesn't matter."""
    address = text.strip().lower()
    name, _, domain = address.rpartition("@")
    return Email(address, domain, f"{name[:1]}***@{domain}")


def email_index(key: bytes, merchant_id: str, address: str) -> bytes:
    """What stands for an address in the database, for one merchant; `key` is for this purpose."""
    own_key = hmac.digest(key, merchant_id.encode("ascii"), "sha256")
    return hmac.digest(own_key, address.encode("utf-8"), "sha256")


def why_weak(
    password: str,
    known: Iterable[str] = (),
    path: str = "$.password",
    *,
    is_breached: bool = False,
) -> Iterator[Reason]:
    """What is wrong with a password; `known` is what anybody knows of its owner.

    `path`: where it is in the body. `is_breached`: it is in somebody's list.

    What was asked for (S1-08) are four kinds of characters, which alone let `Passw0rd!1` through.
    """
    if len(password) < PASSWORD_MIN:
        yield because(PASSWORD_SHORT, path=path)
    kinds = (r"[A-Z]", r"[a-z]", r"[0-9]", r"[^A-Za-z0-9]")
    if not all(re.search(kind, password) for kind in kinds):
        yield because(PASSWORD_PLAIN, path=path)
    words = [*known, "kafang"]
    score = zxcvbn(password[:LOOKED_AT], words)["score"]
    if score < SCORE_MIN or _holds_one_of(password, words):
        yield because(PASSWORD_GUESSABLE, path=path)
    if is_breached:
        yield because(PASSWORD_BREACHED, path=path)


def _holds_one_of(password: str, words: Iterable[str]) -> bool:
    """Whether one of the words is in it, however strong the rest is."""
    plain = password.casefold()
    return any(len(word) >= WORD_MIN and word.casefold() in plain for word in words)
