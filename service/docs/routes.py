"""The documentation over HTTP. Not part of the contract: people read it, no client calls it."""

from functools import partial
from typing import Any

from service.docs import pages
from service.kernel.http import open_handler
from service.kernel.routes import Answer, open_route


async def _show(path: str, state: Any) -> Answer:
    page: Answer = state.pages[path]
    return page


def _name(path: str) -> str:
    return path.strip("/").replace("/", "_") or "root"


HANDLERS = [
    open_handler(
        open_route(path, _name(path), "Documentation", "A page for people.", None),
        partial(_show, path),
    )
    for path in pages.PATHS
]
