"""A short cut past the framework's routing, for paths without ids."""

from collections.abc import Mapping
from typing import Any, cast

from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.kernel.http import Serve
from service.kernel.ids import new_id
from service.kernel.replies import FIXED


def _fixed(send: Send) -> Send:
    """The framework answers OPTIONS itself, without the headers that every answer has."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            request_id = (b"x-request-id", new_id("req").encode())
            message["headers"] = [*message["headers"], request_id, *FIXED]
        await send(message)

    return sending


def directly(app: Litestar) -> ASGIApp:
    """The application, with a short cut: a path without ids goes straight to its route.

    The framework's routing costs such a request as much as our own part of it, and finds nothing
    that method and path don't say. All else, and every error in finding a route, is the
    framework's.
    """
    routes: dict[tuple[str, str], Serve] = {}
    for route in app.routes:
        for served in getattr(route, "route_handlers", ()):
            declared = served.opt.get("declared")
            if declared is not None and "{" not in declared.path:
                routes[declared.method, declared.path] = served.opt["answer"]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        told = cast(Mapping[str, Any], scope)  # a lifespan's has neither method nor path
        answer = routes.get((told.get("method", ""), told.get("path", "")))
        if answer is None:
            await app(scope, receive, _fixed(send) if told.get("method") == "OPTIONS" else send)
            return
        scope["litestar_app"] = app
        scope["state"] = {}
        scope["path_params"] = {}
        await (await answer(scope, receive))(scope, receive, send)

    return serve
