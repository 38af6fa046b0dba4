"""A PostgreSQL that is not our own: the service needs no more than the application's role."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.kernel import embedded
from tests.api import shop
from tests.harness import server as servers
from tests.harness.client import Client
from tests.ledger import scratch

SECRET = "7d" * 32


@pytest.fixture(name="postgres", scope="module")
def _postgres() -> Iterator[embedded.Server]:
    with embedded.temporary() as server:
        yield server


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="kafang-test-") as folder:
        yield Path(folder)


def kafang(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on a port of its own."""
    return servers.command(folder, servers.free_port(), *arguments, "--json", **settings)


async def test_the_owner_migrates_and_the_application_serves(
    postgres: embedded.Server, folder: Path
) -> None:
    """Refused in one sentence until the schema is there; then the owner's URL isn't needed."""
    app = {"DATABASE_URL": postgres.app_dsn}
    keys = {"KAFANG_KEKS": SECRET, "KAFANG_KEY_STORE": "file"}
    serving = app | {"KAFANG_SECRET_KEY": SECRET} | keys
    merchant = ["create-merchant", "--name", "青禾美发"]
    for command, settings in ((["run"], serving), (merchant, app)):
        done = kafang(folder, *command, **settings)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("kafang: the schema that DATABASE_URL leads to lacks ")
        assert "migrations/0001_foundation.sql, " in done.stderr
        assert "KAFANG_MIGRATION_URL" in done.stderr
        assert "Traceback" not in done.stderr
    done = kafang(folder, "migrate", **app)
    assert done.stderr.startswith("kafang: KAFANG_MIGRATION_URL is required")

    done = kafang(folder, "migrate", **app, KAFANG_MIGRATION_URL=postgres.owner_dsn)
    assert done.returncode == 0, done.stderr

    # Before the application might look at it, and with a role that row security doesn't bind.
    await scratch.execute(postgres.owner_dsn, "revoke select on schema_migration from kafang_app")
    done = kafang(folder, "run", **serving)
    assert "lacks what this version needs: run `python -m service migrate`" in done.stderr
    await scratch.execute(postgres.owner_dsn, "grant select on schema_migration to kafang_app")
    done = kafang(folder, "run", **serving | {"DATABASE_URL": postgres.owner_dsn})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kafang: the application's role kafang_owner owns tables")

    merchant_id = json.loads(kafang(folder, *merchant, **app).stdout)["merchant_id"]
    named = ["--merchant", merchant_id, "--name", "小程序", "--bundle", "merchant"]
    key = json.loads(kafang(folder, "create-key", *named, **app).stdout)["token"]
    server = servers.start(folder, settings=serving)
    try:
        async with Client(server.host, server.port, key) as office:
            assert await shop.publish(office)
    finally:
        assert servers.stop(server) == 0
