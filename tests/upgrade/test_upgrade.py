"""An upgrade fails nobody's request, and the drill that says so would see one that does.

`python -m tests.upgrade` is the long version of the first test, from a version of its own.
THREAT-T25.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.tenant import Tenant
from tests.upgrade import versions
from tests.upgrade.drill import Plan, run
from tests.upgrade.traffic import Line, Traffic

PER_S, STATE_S = 100.0, 0.5
ANSWER = b"HTTP/1.1 201 Created\r\nIdempotent-Replayed: %s\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(name="plan")
def _plan() -> Iterator[Plan]:
    """This version twice, the second time with something to migrate."""
    with tempfile.TemporaryDirectory(prefix="kafang-upgrade-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # noqa: S103  # PostgreSQL's user must enter; secrets are 0600
        old = versions.working_tree(folder / "old")
        new = versions.working_tree(folder / "new")
        versions.expand(new)
        yield Plan(old, new, PER_S, STATE_S, workers=1)


async def test_nobody_notices_an_upgrade(plan: Plan) -> None:
    report = await run(plan.old.parent, plan)
    assert report.failures == []
    assert report.lost == 0
    assert report.answered > 5 * STATE_S * PER_S
    functions = {file.name for file in (plan.new / "sql/functions").iterdir()}
    assert {f"functions/{name}" for name in functions} <= set(report.applied)
    assert sum("_drill_" in name for name in report.applied) > 10


async def test_a_migration_that_is_too_strict_for_the_version_before_is_noticed(plan: Plan) -> None:
    """Negative control: it refuses every row that this version writes."""
    text = (
        "set local lock_timeout = '5s';\nalter table redemption add check (amount < 0) not valid;\n"
    )
    versions.add_migration(plan.new, "strict", text)
    report = await run(plan.old.parent, plan)
    assert any("POST /v1/redemptions: 5" in failure for failure in report.failures)


@pytest.mark.parametrize(("replayed", "lost"), [(b"true", 1), (b"false", 0)])
async def test_an_answer_that_a_closed_line_owed_is_counted(replayed: bytes, lost: int) -> None:
    """Negative control: a service that closes a line on a request it has taken."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        if asked > 1:
            writer.write(ANSWER % replayed)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        traffic = Traffic(port, Tenant("", [], [""], "", ""), [], 1.0)
        line = Line(traffic, "")
        assert (await line.ask("POST", "/", {}, "key-00000001")).status == 201
        line.close()
    assert (traffic.counts["sent again"], traffic.counts["answers lost"]) == (1, lost)
