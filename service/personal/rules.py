"""What may be done with what is known of a person, and how long it is kept.

单用途商业预付卡管理办法 art. 15: the registration of a named card's holder is kept for at least
five years. 个人信息保护法 art. 47: what a person wants erased is erased, or only stored while the
law wants it kept.
"""

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from schemas.personal import KeptFor, Purpose
from service.rules.periods import expiry

REGISTRATION_KEPT = "P5Y"
# Of a member who is only stored.
PURPOSES_OF_RESTRICTED: frozenset[Purpose] = frozenset(("dispute", "legal_duty"))


class Ties(Struct, frozen=True):
    """What of a member others have to do with."""

    cards_with_value: list[str]
    has_named_card: bool
    registered_at: datetime | None
    is_held: bool


class Kept(NamedTuple):
    """Why a person's data is kept, and until when; nothing: it is erased."""

    reasons: list[KeptFor]
    until: datetime | None


def kept(now: datetime, time_zone: str, ties: Ties) -> Kept:
    """Whether what is known of somebody who wants it erased is kept. A hold has no end yet,
    nor has a card in their name that is still theirs.
    """
    reasons: list[KeptFor] = []
    until = None
    if ties.registered_at is not None:
        until, _ = expiry(ties.registered_at, REGISTRATION_KEPT, time_zone)
    if ties.has_named_card or (until is not None and until > now):
        reasons.append("registration")
    if ties.is_held:
        reasons.append("legal_hold")
    is_known = reasons == ["registration"] and not ties.has_named_card
    return Kept(reasons, until if is_known else None)
