"""Nothing that a client sends leaves the service but in its answers; a broken twin shows it does.

Channels: the service's output, PostgreSQL's log, /metrics, traces. THREAT-T18, THREAT-T22.
"""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.canaries.drive import Driven, drive
from tests.harness import collector as collectors
from tests.harness import server as servers
from tests.harness.server import ROOT

LOUD = {"KAFANG_LOG_LEVEL": "debug", "OTEL_TRACES_SAMPLER": "always_on"}
# What is taken out of the twin, by file: a text and what stands in its place.
BROKEN: dict[str, list[tuple[str, str]]] = {
    "service/kernel/redaction.py": [
        ("    return _SECRET_TEXT.sub(REDACTED, value)", "    return value"),
        ("    name = type(error).__name__\n", "    return repr(error) + str(error)\n"),
    ],
    "service/kernel/embedded.py": [
        ('"log_error_verbosity": "terse"', '"log_error_verbosity": "default"'),
    ],
    "service/kernel/http.py": [
        ("metrics.count_request(declared.operation_id,", 'metrics.count_request(scope["path"],'),
    ],
    "service/kernel/tracing_otel.py": [
        ('"url.scheme": "http"', '"http.request.header": str(list(headers))'),
    ],
}


def run(cwd: Path = ROOT) -> tuple[Driven, dict[str, str]]:
    """Drive a fresh service; what came out of it, by channel."""
    with (
        collectors.running() as collector,
        servers.running({**LOUD, **collector.settings}, cwd) as server,
    ):
        driven = asyncio.run(drive(server))
        with urllib.request.urlopen(f"{server.base_url}/metrics") as answer:  # noqa: S310
            metrics = answer.read().decode()
        postgres = server.postgres
        passwords = json.loads((postgres.data_dir / "passwords.json").read_text())
        driven.canaries |= {*passwords.values(), (server.data_dir / "secret_key").read_text()}
        servers.stop(server)
        written = {
            "output": server.log.read_text("utf-8", "replace"),
            "database": (postgres.data_dir / "server.log").read_text("utf-8", "replace"),
            "metrics": metrics,
            "traces": "\n".join(body.decode("utf-8", "replace") for body in collector.raw),
        }
    return driven, written


def leaks(driven: Driven, written: Mapping[str, str]) -> dict[str, list[str]]:
    """The lines of each channel that hold a canary."""
    return {
        channel: [
            line for line in text.splitlines() if any(canary in line for canary in driven.canaries)
        ]
        for channel, text in written.items()
    }


@pytest.fixture(name="twin")
def _twin(tmp_path: Path) -> Path:
    for folder in ("service", "schemas", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name, edits in BROKEN.items():
        text = (tmp_path / name).read_text("utf-8")
        for old, new in edits:
            assert old in text, f"{name} no longer holds {old!r}"
            text = text.replace(old, new)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_no_canary_leaves() -> None:
    driven, written = run()
    assert driven.statuses >= {200, 201, 400, 401, 404, 405, 409, 415, 422, 500}
    assert "UniqueViolationError" not in written["output"], "a number is drawn again in silence"
    for told in ("CheckViolationError 23514", "UndefinedColumnError 42703", '"unforeseen"'):
        assert told in written["output"]
    for told in ("card_number_unique", "refused", "terminating connection", "lock timeout"):
        assert told in written["database"], "it must have met what could quote a number"
    assert all(json.loads(line) for line in written["output"].splitlines() if line[:1] == "{")
    for told in ("ledger.batch", "POST /v1/redemptions", "CheckViolationError"):
        assert told in written["traces"]
    assert leaks(driven, written) == {channel: [] for channel in written}


def test_without_redaction_they_leave_through_every_channel(twin: Path) -> None:
    driven, written = run(twin)
    found = leaks(driven, written)
    assert [channel for channel in written if not found[channel]] == []
