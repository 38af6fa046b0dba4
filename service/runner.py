"""`python -m service run`: database, schema, demo tenant, then the server's worker processes."""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from granian import Granian
from granian.constants import Interfaces, Loops
from granian.server.common import AbstractServer
from msgspec import Struct

from service import demo_tenant
from service.kernel import database, embedded
from service.kernel.metrics import MULTIPROCESS_DIR
from service.kernel.migrations import migrate
from service.settings import Settings, SettingsError, environment_of, with_kept_secret

BACKLOG = 2048
# How often in so many seconds the workers may be started over before the service gives up.
STARTS_MAX, STARTS_WITHIN_S = 3, 60.0


class Urls(Struct, frozen=True):
    """Where the application and the schema's owner connect."""

    app: str
    owner: str


@contextmanager
def database_of(settings: Settings) -> Iterator[Urls]:
    """The database the settings name, or our own, started and stopped with the caller."""
    if settings.database_url:
        if not settings.migration_url:
            raise SettingsError(
                "KAFANG_MIGRATION_URL is required with DATABASE_URL: the owner of the schema"
            )
        yield Urls(settings.database_url, settings.migration_url)
        return
    with embedded.running(Path(settings.data_dir)) as server:
        yield Urls(server.app_dsn, server.owner_dsn)


def run(_: argparse.Namespace, settings: Settings) -> None:
    """Serve until Ctrl-C or SIGTERM; leave no process behind."""
    settings = with_kept_secret(settings)
    with (
        database_of(settings) as urls,
        tempfile.TemporaryDirectory(prefix="kafang-metrics-") as metrics_dir,
    ):
        asyncio.run(migrate(urls.owner))
        asyncio.run(_require_durable(urls.app, settings))
        settings = msgspec.structs.replace(settings, database_url=urls.app, migration_url="")
        os.environ.update(environment_of(settings))
        os.environ[MULTIPROCESS_DIR] = metrics_dir
        os.environ.pop("KAFANG_MIGRATION_URL", None)
        print(demo_tenant.welcome(settings), flush=True)
        _serve(settings)


async def _require_durable(url: str, settings: Settings) -> None:
    """Refuse before serving what every worker would refuse, naming the setting (promise 1)."""
    connection = await database.connect_writer(url, allow_unsafe=settings.allow_unsafe_durability)
    await connection.close()


def _serve(settings: Settings) -> None:
    """Serve until told to stop.

    Granian ends when a worker dies twice within seconds. Two kills from outside are no reason to
    end the service, so it begins again; a worker that can't start uses the starts up in seconds.
    """
    starts: list[float] = []
    while True:
        starts = [at for at in starts if time.monotonic() - at < STARTS_WITHIN_S]
        starts.append(time.monotonic())
        server = _granian(settings)
        try:
            server.serve()
        except SystemExit:
            if server.interrupt_signal or len(starts) >= STARTS_MAX:
                raise
        else:
            return


def _granian(settings: Settings) -> AbstractServer[Any]:
    return Granian(
        "service.app:create_app",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        log_access=False,
        workers_kill_timeout=10,
    )
