"""What a merchant's own clients can do with the tenant itself."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import Instant


class TestClockMove(Struct, forbid_unknown_fields=True):
    """Move the clock of a test tenant forward: expiry and lapses can be tried in minutes."""

    __test__ = False  # not a test class

    now: Annotated[
        datetime,
        Meta(
            tz=True, description="The new time; later than the tenant's present one, before 2200."
        ),
    ]


class TestClock(Struct):
    """The clock of a test tenant."""

    __test__ = False

    now: Instant
