"""One short run of the demo for all of its tests."""

import subprocess
import sys

import msgspec
import pytest

from tests.demo.books import Facts
from tests.harness.server import ROOT

LIMIT_S = 240.0
SECONDS, SEED = 5.0, 11


class Run(msgspec.Struct):
    """A finished run: what it printed, its report, and what that was made from."""

    code: int
    output: str
    progress: str
    facts: Facts
    html: str
    kept: str


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five seconds of the demo, as `make demo` runs it."""
    folder = tmp_path_factory.mktemp("demo")
    facts, html = folder / "facts.json", folder / "report.html"
    command = [
        *(sys.executable, "-m", "tests.demo", "--seconds", str(SECONDS), "--seed", str(SEED)),
        *("--facts", str(facts), "--report", str(html)),
    ]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert html.exists(), ended.stderr
    return Run(
        ended.returncode,
        ended.stdout,
        ended.stderr,
        msgspec.json.decode(facts.read_bytes(), type=Facts),
        html.read_text("utf-8"),
        str(html),
    )
