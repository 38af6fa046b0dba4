"""The documentation over HTTP. Not part of the contract: people read it, no client calls it."""

from functools import partial
from typing import Any

from service.docs import pages
from service.kernel.http import Answer, Route, open_handler

PATHS = [
    "/",
    "/docs",
    pages.CONTRACT,
    "/docs/errors",
    *(f"/docs/{name}" for name in pages.GUIDES),
    *(f"/docs/assets/{name}" for name in pages.ASSETS),
]


async def _show(path: str, state: Any) -> Answer:
    page: Answer = state.pages[path]
    return page


def _route(path: str) -> Route:
    return Route(
        method="GET",
        path=path,
        operation_id=path.strip("/").replace("/", "_") or "root",
        tag="Operations",
        scope="",
        summary="Documentation",
        description="A page for people.",
        answers={200: None},
        errors=(),
    )


HANDLERS = [open_handler(_route(path), partial(_show, path)) for path in PATHS]
