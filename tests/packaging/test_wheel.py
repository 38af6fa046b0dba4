"""The wheel alone, away from the sources, serves a redemption."""

import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import ROOT


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("site")
    with TemporaryDirectory() as built:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        (wheel,) = Path(built).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def test_it_holds_the_three_packages_and_nothing_of_the_tests(site: Path) -> None:
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"service", "schemas", "sql"}
    fonts = {path.name for path in (site / "service" / "records" / "fonts").iterdir()}
    assert fonts == {"NotoSansSC-GBK.ttf", "OFL.txt"}


async def test_it_serves_a_redemption_and_its_documentation(site: Path) -> None:
    with servers.running(cwd=site) as server:
        assert Path(f"/proc/{server.process.pid}/cwd").resolve() == site.resolve()
        demo = server.demo()
        async with Client(server.host, server.port, demo["pos_key"]) as till:
            body = {
                "request_no": "wheel-1",
                "amount": {"value": 100, "currency": "CNY"},
                "sources": [{"card_number": demo["card_number"]}],
            }
            answer = await till.post("/v1/redemptions", body, "wheel-00000001")
            assert answer.status == 201, answer.body
            for path in ("/docs", "/docs/pos", "/docs/assets/swagger-ui.css", "/v1/error-codes"):
                assert (await till.get(path)).status == 200, path
            for form, begins in (("pdf", b"%PDF-"), ("html", b"<!doctype html>")):
                printed = await till.get(f"/v1/cards/{demo['card_id']}/record?format={form}")
                assert printed.body.startswith(begins), printed.body
