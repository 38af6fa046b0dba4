"""`python -m service run`: database, schema, demo tenant, then the server's worker processes."""

import argparse
import asyncio
import errno
import os
import resource
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct

from service import demo_tenant, workers
from service.kernel import database, embedded, embedded_backup, logs, tracing
from service.kernel.key_store import KeyStoreError
from service.kernel.metrics import MULTIPROCESS_DIR
from service.kernel.migrations import migrate, pending
from service.settings import (
    Settings,
    SettingsError,
    check_keys,
    check_secret,
    environment_of,
    with_kept_secrets,
)

# Files that a worker needs for all but its clients.
FILES_OF_ITS_OWN = 256
CONNECTIONS_MIN = 16
PORT_PATIENCE_S = 3.0


class Urls(Struct, frozen=True):
    """Where the application and the schema's owner connect; the owner's may be missing."""

    app: str
    owner: str

    def require_owner(self) -> str:
        """The owner's; raises SettingsError when it is missing."""
        if not self.owner:
            raise SettingsError(
                "KAFANG_MIGRATION_URL is required with DATABASE_URL: the owner of the schema"
            )
        return self.owner


@contextmanager
def database_of(settings: Settings) -> Iterator[Urls]:
    """The database the settings name, or our own, started and stopped with the caller."""
    if settings.database_url:
        if settings.archive_dir:
            raise SettingsError(
                "KAFANG_ARCHIVE_DIR is for Kafang's own PostgreSQL: with DATABASE_URL, set "
                "archive_command there"
            )
        yield Urls(settings.database_url, settings.migration_url)
        return
    with own_database(settings) as server:
        yield Urls(server.app_dsn, server.owner_dsn)


@contextmanager
def own_database(settings: Settings) -> Iterator[embedded.Server]:
    """Our own PostgreSQL, started and stopped with the caller unless it runs."""
    data_dir = own_data_dir(settings)
    with embedded.running(
        data_dir, embedded_backup.archiving(data_dir, settings.archive_dir)
    ) as server:
        yield server


def own_data_dir(settings: Settings) -> Path:
    """The folder of our own PostgreSQL; raises SettingsError when the database is another one."""
    if settings.database_url:
        raise SettingsError(
            "this is for Kafang's own PostgreSQL; with DATABASE_URL use PostgreSQL's own commands"
        )
    return Path(settings.data_dir)


async def prepare_schema(urls: Urls) -> None:
    """Bring the schema up to date, if its owner's URL is there; refuse one that isn't."""
    if urls.owner:
        await migrate(urls.owner)
    connection = await asyncpg.connect(urls.app)
    try:
        lacks = ", ".join(await pending(connection))
    except asyncpg.InsufficientPrivilegeError:  # a schema from before who serves could look
        lacks = "what this version needs"
    finally:
        await connection.close()
    if lacks:
        raise SettingsError(
            f"the schema that DATABASE_URL leads to lacks {lacks}: "
            "run `python -m service migrate` with KAFANG_MIGRATION_URL, the owner of the schema"
        )


def run(_: argparse.Namespace, settings: Settings) -> None:
    """Serve until Ctrl-C or SIGTERM; leave no process behind."""
    logs.configure(settings.log_level)
    tracing.check()
    settings.certificate()
    settings.breaches()
    asyncio.run(_require_free_port(settings))
    settings = with_kept_secrets(settings)
    with (
        database_of(settings) as urls,
        tempfile.TemporaryDirectory(prefix="kafang-metrics-") as metrics_dir,
    ):
        asyncio.run(prepare_schema(urls))
        asyncio.run(_require_sound(urls.app, settings))
        is_own = not settings.database_url
        settings = msgspec.structs.replace(
            settings, database_url=urls.app, migration_url="", demo=is_own
        )
        os.environ.update(environment_of(settings))
        os.environ[MULTIPROCESS_DIR] = metrics_dir
        os.environ.pop("KAFANG_MIGRATION_URL", None)
        told = greeting(settings, own_database=is_own)
        workers.supervise(settings, _connections(settings), told)


def greeting(settings: Settings, *, own_database: bool) -> str:
    """What `run` prints: a demo merchant is put into Kafang's own database, never into another."""
    return demo_tenant.welcome(settings) if own_database else demo_tenant.serving(settings)


async def _require_free_port(settings: Settings) -> None:
    """Refuse a port that somebody serves: the workers share theirs, so a second service could too.

    Two services would take turns answering. What was killed a moment ago may still be ending.
    """
    deadline = time.monotonic() + PORT_PATIENCE_S
    while not _is_free(settings.host, settings.port):
        if time.monotonic() > deadline:
            raise SettingsError(
                f"{settings.host}:{settings.port} is in use; is Kafang running already? "
                "Stop what serves there, or choose another port with KAFANG_PORT"
            )
        await asyncio.sleep(0.1)


def _is_free(host: str, port: int) -> bool:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


async def _require_sound(url: str, settings: Settings) -> None:
    """Refuse before serving what every worker would refuse, naming the setting (promise 1)."""
    connection = await database.connect_writer(url, allow_unsafe=settings.allow_unsafe_durability)
    try:
        await database.check_role(connection)
        await check_secret(connection, settings)
        await _require_keys(url, settings)
    finally:
        await connection.close()


async def _require_keys(url: str, settings: Settings) -> None:
    """Refuse keys with which nobody could be read; where they are away, money goes on without."""
    try:
        await check_keys(settings, url)
    except KeyStoreError as error:
        logs.log.error("the keys of what is personal can't be reached", reason=str(error))


def _connections(settings: Settings) -> int:
    """How many connections a worker may accept: each takes one of the files it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections_max + FILES_OF_ITS_OWN
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings.connections_max
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    connections = soft - FILES_OF_ITS_OWN
    if connections < CONNECTIONS_MIN:
        raise SettingsError(f"a process may open only {hard} files here: allow more (ulimit -n)")
    if connections < settings.connections_max:
        print(
            f"A process may open {hard} files here: each worker accepts {connections} connections "
            f"instead of {settings.connections_max} (KAFANG_CONNECTIONS_MAX).",
            flush=True,
        )
    return connections
