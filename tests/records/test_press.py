"""The printing process: it knows the record alone, it ends, and its failure is told."""

import asyncio
import json
import sys
from typing import Any

import pytest

from service.kernel.problems import UNAVAILABLE, ProblemError
from service.records import press
from tests.contract import flow

Started = asyncio.Queue[tuple[asyncio.subprocess.Process, Any]]
RECORD = json.dumps(json.loads(flow.FILE.read_text("utf-8"))["get_card_record"]).encode()


@pytest.fixture(name="started")
def _started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Each process that was started, and its environment."""
    seen: Started = asyncio.Queue()
    start = asyncio.create_subprocess_exec

    async def watched(*command: Any, **more: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **more)
        seen.put_nowait((process, more["env"]))
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    return seen


async def test_it_prints_and_ends_and_knows_no_secret(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFANG_SECRET_KEY", "0" * 64)
    page = await press.printed("html", RECORD)
    assert page.body.startswith(b"<!doctype html>")
    process, environment = started.get_nowait()
    assert process.returncode == 0
    assert environment.keys() <= {"PATH", "SYSTEMROOT", "PYTHONPATH"}


async def test_one_that_takes_too_long_is_ended(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(press, "PATIENCE_S", 0.0)
    with pytest.raises(ProblemError) as told:
        await press.printed("pdf", RECORD)
    assert told.value.code is UNAVAILABLE
    process, _ = started.get_nowait()
    assert process.returncode is not None


async def test_one_that_nobody_waits_for_is_ended(started: Started) -> None:
    printing = asyncio.create_task(press.printed("pdf", RECORD))
    process, _ = await asyncio.wait_for(started.get(), 30.0)
    printing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await printing
    assert process.returncode is not None


async def test_one_that_fails_is_no_page() -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        await press.printed("html", b"{}")


async def test_where_none_can_be_started_the_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(RuntimeError, match="no process for printing"):
        await press.printed("html", RECORD)
