"""A short cut past the framework's routing, for paths without ids."""

from collections.abc import Mapping
from typing import Any, cast

from litestar import Litestar
from litestar.types import ASGIApp, Receive, Scope, Send

from service.kernel.http import Serve


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
            await app(scope, receive, send)
            return
        scope["litestar_app"] = app
        scope["state"] = {}
        scope["path_params"] = {}
        await (await answer(scope, receive))(scope, receive, send)

    return serve
