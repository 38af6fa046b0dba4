"""A card's record over HTTP."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.records import CardRecord, File, Format, Language, Page
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import CURSOR_MAX
from service.kernel.routes import Route
from service.records import html, operations, press

LINES_MAX = 10_000


class Print(Struct, forbid_unknown_fields=True):
    """In which form, and which part."""

    format: Format = "json"
    language: Language = "zh-CN"
    limit: Annotated[
        int,
        Meta(
            ge=1,
            le=LINES_MAX,
            description="How many lines at most, movements and refusals together. A part also "
            "ends after some 8 MB, whatever its limit.",
        ),
    ] = LINES_MAX
    cursor: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=CURSOR_MAX,
                description="`Next-Cursor` of the part before; opaque, and of the same card.",
            ),
        ]
        | None
    ) = None


READ = Route(
    method="GET",
    path="/v1/cards/{card_id}/record",
    operation_id="get_card_record",
    tag="Cards",
    scope="cards:read",
    summary="Everything about a card, with proof",
    description="What a merchant must be able to show of a card: the contract it was issued under, "
    "in words and as data, every movement without gap, refused attempts, what the balance is made "
    "of, sums that add up to it, and digests by which anyone sees that no line was altered, left "
    "out or moved. As JSON, as a page, as a PDF to print; pages and PDFs are made of the same "
    "JSON. All of a record comes at once up to 10,000 lines; beyond that, send `Next-Cursor` as "
    "`cursor` for the next part: digests and balances go on where the part before ended, and the "
    "last part's sums are those of all. `/docs/record` shows how to check the proof. Any key that "
    "may read cards may print any card of its merchant. One record is printed at a time; 503 when "
    "others take too long.",
    query=Print,
    answers={200: CardRecord},
    also={html.MEDIA_TYPE: Page, press.PDF: File},
    answer_headers=("Next-Cursor", "Content-Security-Policy", "Content-Disposition"),
    errors=(),
    slow=True,
    example_path={"card_id": example_id("crd")},
)

HANDLERS = [handler(READ, operations.record)]
