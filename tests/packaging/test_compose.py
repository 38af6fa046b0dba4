"""The compose file, as far as it can be held without an engine: its values do what they say."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with schemathesis; its stubs are a package more

from service.kernel import embedded
from service.kernel.embedded import SETTINGS
from service.kernel.embedded_site import find_site
from service.settings import load
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import ROOT
from tests.ledger import scratch

COMPOSE = yaml.safe_load((ROOT / "docs/deploy/compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
VALUES = {
    "ADMIN_PASSWORD": "a1" * 24,
    "OWNER_PASSWORD": "b2" * 24,
    "LOGIN_PASSWORD": "c3" * 24,
    "KAFANG_SECRET_KEY": "d4" * 32,
    "KAFANG_KEKS": "e5" * 32,
}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::\?[^}]*)?\}")


def filled(text: str) -> str:
    """A value as a container gets it."""
    return VARIABLE.sub(lambda found: VALUES[found[1]], text).replace("$$", "$")


def environment(service: str) -> dict[str, str]:
    """A service's environment."""
    return {name: filled(value) for name, value in SERVICES[service]["environment"].items()}


def test_kafang_knows_every_setting_that_it_is_given() -> None:
    for service in ("migrate", "kafang"):
        assert load(environment(service)).database_url
    load(environment("kafang")).secret()
    assert "KAFANG_MIGRATION_URL" not in environment("kafang"), "the owner migrates, no more"


def test_the_database_has_the_settings_of_the_runbook() -> None:
    given = dict(option.removeprefix("--").split("=") for option in SERVICES["db"]["command"][1:])
    assert given.pop("shared_buffers")  # by the machine's memory
    assert given == {name: SETTINGS[name] for name in given}
    runbook = (ROOT / "docs/operations.md").read_text("utf-8")
    section = runbook.partition("## The database's settings")[2].partition("\n## ")[0]
    advised = dict(re.findall(r"`(\w+) = (\w+)`", section.replace(", ", "`, `")))
    assert advised, "the runbook names settings"
    assert given == advised


def test_it_starts_what_the_image_has() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert 'ENTRYPOINT ["python", "-m", "service"]' in image
    assert 'CMD ["run"]' in image
    assert "HEALTHCHECK" in image, "compose has none of its own for Kafang"
    (mount,) = SERVICES["kafang"]["volumes"]
    assert f"KAFANG_DATA_DIR={mount.partition(':')[2]}" in image
    published = SERVICES["kafang"]["ports"][0]
    assert published.startswith("127.0.0.1:"), "no TLS here: not for the network"
    assert f"EXPOSE {published.rpartition(':')[2]}" in image
    assert (ROOT / "docs/deploy" / SERVICES["kafang"]["build"]["context"] / "Dockerfile").is_file()


def test_every_name_it_refers_to_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= SERVICES.keys()
        assert {c["source"] for c in service.get("configs", [])} <= COMPOSE["configs"].keys()
        named = {mount.partition(":")[0] for mount in service.get("volumes", [])}
        assert named <= COMPOSE["volumes"].keys()
    text = (ROOT / "docs/deploy/compose.yaml").read_text("utf-8")
    assert set(VARIABLE.findall(text)) == VALUES.keys()
    head = text.partition("name: kafang")[0]
    assert all(re.search(rf"\b{name}\b", head) for name in VALUES), "the head makes them"


@pytest.fixture(name="bare", scope="module")
def _bare() -> Iterator[embedded.Server]:
    """A PostgreSQL without Kafang's roles and database."""
    with embedded.temporary() as server:
        yield server


async def test_its_roles_and_addresses_serve(bare: embedded.Server) -> None:
    gone = [
        "drop database kafang",
        *(f"drop role {role}" for role in ("kafang_login", "kafang_app")),
    ]
    await scratch.execute(bare.admin_dsn, *gone, "drop role kafang_owner")
    run_script(bare, filled(COMPOSE["configs"]["roles"]["content"]))
    with TemporaryDirectory(prefix="kafang-test-") as folder:
        done = kafang(Path(folder), here(bare, environment("migrate")), "migrate")
        assert json.loads(done)["applied"]
        server = servers.start(Path(folder), settings=here(bare, environment("kafang")))
        try:
            async with Client(server.host, server.port) as client:
                assert (await client.get("/health/ready")).status == 200
        finally:
            assert servers.stop(server) == 0


def run_script(server: embedded.Server, script: str) -> None:
    """As the image of PostgreSQL runs it at its first start."""
    psql = find_site(server.data_dir).bin_dir / "psql"
    passwords = json.loads((server.data_dir / "passwords.json").read_text("ascii"))
    variables = {
        "PATH": f"{psql.parent}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGPASSWORD": passwords["postgres"],
    }
    assert shutil.which("psql", path=variables["PATH"]) == str(psql)
    subprocess.run(["bash", "-c", script], env=variables | environment("db"), check=True)


def here(server: embedded.Server, given: Mapping[str, str]) -> dict[str, str]:
    """The settings, with this server in the place of the container's."""
    where = f"@127.0.0.1:{server.port}/"
    return {name: value.replace("@db/", where) for name, value in given.items()}


def kafang(folder: Path, settings: Mapping[str, str], *arguments: str) -> str:
    """What a command printed."""
    done = servers.command(folder, servers.free_port(), *arguments, "--json", **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout
