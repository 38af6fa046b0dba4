"""The feed over HTTP."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.events import CardOnly, EventList, Seq, StoreOnly
from service.events import operations
from service.kernel.http import handler
from service.kernel.routes import Route

FEED_DEFAULT, FEED_MAX = 200, 1000


class FeedQuery(Struct, forbid_unknown_fields=True):
    """Which events."""

    after: Annotated[
        Seq, Meta(description="`last_seq` of the answer before; 0 is from the beginning.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=FEED_MAX, description="How many are looked at.")] = (
        FEED_DEFAULT
    )
    card_id: CardOnly | None = None
    store_id: StoreOnly | None = None


FEED = Route(
    method="GET",
    path="/v1/events",
    operation_id="list_events",
    tag="Events and audit",
    scope="events:read",
    summary="What happened, in order",
    description="Every operation, also what was refused, and every change of the configuration, "
    "each with its number. Keep `last_seq` with what you did with the events, and ask again with "
    "it as `after`: nothing comes twice and nothing is missing, whatever is killed in between. "
    "Numbers have no gaps; they are given once an operation is on the disk, mostly within half a "
    "second. To replay, begin again at any number. A filter leaves events out of the answer, and "
    "the numbers go on: then `last_seq` is further than the last event you see.",
    query=FeedQuery,
    answers={200: EventList},
    errors=(),
)

HANDLERS = [handler(FEED, operations.after)]
