"""The list of error codes over HTTP."""

from typing import Any

from schemas.error_codes import ErrorCodeList
from service.kernel.http import open_handler
from service.kernel.routes import Answer, open_route

LIST = open_route(
    "/v1/error-codes",
    "list_error_codes",
    "What each error code means",
    "Every code that an answer can carry, and every reason inside one: what it means, "
    "how to mend it and whether to send again, in English and Chinese. Switch on the code; show "
    "the text to people. A later version may add codes: treat one you don't know by its HTTP "
    "status, `outcome` and `retry`.",
    ErrorCodeList,
)


async def browse(state: Any) -> Answer:
    """The list, which changes with the version of the service only."""
    return Answer(200, state.error_codes)


HANDLERS = [open_handler(LIST, browse)]
