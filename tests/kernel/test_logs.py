"""Logs are one object a line, quiet by default, and hold no secret."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from service.kernel import logs, redaction
from service.kernel.auth import Credential

CANARY = "canary-4f1d"
TILL = Credential("mer_1", "key_1", b"hash", frozenset(), None, None, 1)


pytestmark = pytest.mark.usefixtures("logging_as_before")


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def log_request(status: int, seconds: float) -> None:
    logs.log_request("POST", "redeem", status, seconds, "req_1", TILL)


def test_a_finished_request_is_one_line_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", access=True)
    log_request(201, 0.00456)
    (line,) = written(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "method": "POST",
        "route": "redeem",
        "status": 201,
        "duration_ms": 4.56,
        "request_id": "req_1",
        "merchant_id": "mer_1",
        "api_key_id": "key_1",
    }


def test_a_members_request_names_the_member_and_the_key_it_was_let_in_by(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", access=True)
    logs.log_request("GET", "get_card", 200, 0.1, "req_1", replace(TILL, member_id="mbr_1"))
    (line,) = written(capsys)
    assert (line["member_id"], line["api_key_id"], line["merchant_id"]) == (
        "mbr_1", "key_1", "mer_1",
    )  # fmt: skip


def test_by_default_only_faults_and_slow_requests(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", access=False)
    log_request(201, 0.1)
    log_request(409, 0.1)
    log_request(503, 0.1)
    log_request(201, 1.5)
    assert [line["status"] for line in written(capsys)] == [503, 201]


def test_a_flood_of_slow_requests_is_counted_not_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults are always written, and the next slow one says how many were left out."""
    now = [1000.5]
    monkeypatch.setattr(logs, "monotonic", lambda: now[0])
    monkeypatch.setattr(logs, "_slow", logs.Ration(2))
    logs.configure("info", access=False)
    for status in (201, 201, 201, 503, 409):
        log_request(status, 1.5)
    now[0] += 1
    log_request(201, 1.5)
    log_request(201, 1.5)
    lines = [(line["status"], line.get("left_out", 0)) for line in written(capsys)]
    assert lines == [(201, 0), (201, 0), (503, 0), (201, 2), (201, 0)]


def test_the_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", access=True)
    log_request(201, 0.1)
    logs.log.warning("seen")
    assert [line["event"] for line in written(capsys)] == ["seen"]


@pytest.mark.parametrize(
    "fields",
    [
        {"authorization": CANARY},
        {"headers": {"Authorization": f"Bearer {CANARY}"}},
        {"body": {"sources": [{"card_number": CANARY, "pin": CANARY}]}},
        {"new_pin": CANARY, "webhook_secret": CANARY, "api_key": CANARY},
        {"KAFANG_PIN_PEPPER": CANARY},
        {"database_url": CANARY},
        {"note": f"kfk_test_{CANARY.replace('-', '')}", "url": f"postgresql://kafang:{CANARY}@db/x"},
        {"credential": replace(TILL, store_id="kfk_live_c0ffee")},
        {"note": "kfm_test_0canary0", "text": "Bearer kfm_live_canary"},
    ],
)  # fmt: skip
def test_secrets_are_never_logged(
    capsys: pytest.CaptureFixture[str], fields: dict[str, Any]
) -> None:
    assert "anary" in repr(fields) or "kfk_live" in repr(fields)
    logs.configure("info", access=False)
    logs.log.info("x", **fields)
    text = capsys.readouterr().err
    assert "anary" not in text
    assert "kfk_" not in text
    assert "kfm_" not in text
    assert redaction.REDACTED in text


def test_ordinary_names_stay(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", access=False)
    plain = {
        "spinning": "a",
        "api_key_id": "key_1",
        "at": "2026-03-01T10:00:00Z",
        "amount": 18800123,
    }
    logs.log.info("x", **plain)
    (line,) = written(capsys)
    assert plain.items() <= line.items()


def test_a_terminal_gets_key_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    logs.configure("info", access=True)
    log_request(201, 0.1)
    text = capsys.readouterr().err
    assert "status=201" in text
    assert "event=request" in text
