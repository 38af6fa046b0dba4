"""Printing: a record's JSON goes to a process of its own and comes back as a page or a file.

Making pages is all reckoning: in the worker it would hold up every till, also from a thread. The
process (`__main__.py`) has no secrets, no connection, a low rank, and bounds on time and memory.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from service.kernel.problems import UNAVAILABLE, ProblemError
from service.records import html

Printable = Literal["html", "pdf"]

PATIENCE_S = 60.0
PDF = "application/pdf"
_ROOT = Path(__file__).resolve().parents[2]


class Printed(Struct):
    """What came out, and the headers it is sent with."""

    body: bytes
    media_type: str
    headers: Mapping[str, str]


async def printed(kind: Printable, record: bytes) -> Printed:
    """A record's JSON as a page or a file. Raises 503 when that takes too long."""
    body = await _run(kind, record)
    if kind == "pdf":
        return Printed(body, PDF, {})
    return Printed(body, html.MEDIA_TYPE, {"Content-Security-Policy": html.policy()})


async def _run(kind: Printable, record: bytes) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "service.records", kind),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
        )
    except OSError as error:  # by itself it would be taken for a lost database
        raise RuntimeError("no process for printing could be started") from error
    try:
        body, _ = await asyncio.wait_for(process.communicate(record), PATIENCE_S)
    except TimeoutError:
        raise ProblemError(UNAVAILABLE, "Printing took too long; ask for less at once.") from None
    finally:
        if process.returncode is None:  # too slow, or nobody waits for it any more
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"printing a record as {kind} ended with {process.returncode}")
    return body


def _environment() -> dict[str, str]:
    """What Python itself needs: the worker's own holds secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PYTHONPATH": str(_ROOT)}
