"""Start, stop, kill, start again: what a person sees who runs it; nothing is left behind."""

import asyncio
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service import runner, workers
from service.settings import Settings
from tests.api import shop
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import TestCard

GONE_S = 20.0
# `make run` promises 5 s on an idle machine; this bound is for a busy one.
SECOND_START_S = 15.0


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kafang-test-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103  # PostgreSQL's user must enter
        yield Path(folder)


def family(server: Server) -> set[int]:
    """The service, its workers, its guardian, its PostgreSQL, and their children."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text("utf-8", "replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {server.process.pid}
    postmaster = server.postgres.postmaster_pid
    if postmaster is not None:
        found.add(postmaster)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


async def gone(pids: set[int]) -> None:
    """Wait until none of these processes lives."""
    deadline = time.monotonic() + GONE_S
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process lives: one that ended and waits for its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.killpg), (signal.SIGINT, os.kill), (signal.SIGTERM, os.kill)],
    ids=["Ctrl-C reaches all", "SIGINT", "SIGTERM"],
)
async def test_it_ends_whole_when_asked(
    folder: Path, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    server = servers.start(folder)
    processes = family(server)
    assert len(processes) > 4, "a service, two workers, a guardian and a PostgreSQL"
    send(server.process.pid, number)
    code = await asyncio.to_thread(server.process.wait, GONE_S)
    assert code == 0
    await gone(processes)
    assert "Traceback" not in server.log.read_text("utf-8")


async def test_a_second_start_is_quick_and_finds_everything(folder: Path) -> None:
    first = servers.start(folder)
    before = first.demo()
    servers.stop(first)
    text = first.log.read_text("utf-8")
    started = time.monotonic()
    second = servers.start(folder, first.port)
    try:
        took_s = time.monotonic() - started
        assert second.demo() == before
        again = second.log.read_text("utf-8").removeprefix(text)
        for secret in (before["pos_key"], before["merchant_key"]):
            assert secret not in text + again, "keys are in files, not in logs"
        assert str(folder / "demo_pos_key") in again
        async with Client(second.host, second.port, before["pos_key"]) as pos:
            card = TestCard(before["card_id"], before["card_number"])
            assert await shop.balances(pos, card) == (300_000, 20_000)
    finally:
        servers.stop(second)
    assert took_s < SECOND_START_S


async def test_killed_outright_it_recovers(folder: Path) -> None:
    first = servers.start(folder)
    demo = first.demo()
    card = TestCard(demo["card_id"], demo["card_number"])
    async with Client(first.host, first.port, demo["pos_key"]) as pos:
        body, key = shop.sale(card, 8_800), shop.new_key()
        answered = await pos.post("/v1/redemptions", body, key)
    assert answered.status == 201
    processes = family(first)
    first.process.kill()
    first.process.wait()
    await gone(processes)
    second = servers.start(folder, first.port)
    try:
        async with Client(second.host, second.port, demo["pos_key"]) as pos:
            again = await pos.post("/v1/redemptions", body, key)
            assert (again.status, again.body) == (201, answered.body)
            assert again.headers["idempotent-replayed"] == "true"
            assert sum(await shop.balances(pos, card)) == 320_000 - 8_800
    finally:
        servers.stop(second)


def welcome_command(server: Server) -> str:
    """The command that the welcome text shows, as a person would paste it."""
    lines = server.log.read_text("utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip().startswith("KEY="))
    command = [lines[start]]
    for line in lines[start + 1 :]:
        command.append(line)
        if not line.endswith("\\"):
            break
    return "\n".join(command)


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and bash"
)
async def test_the_command_of_the_welcome_works_when_pasted(server: Server) -> None:
    command = welcome_command(server)
    seen = []
    again = command.partition("\n")[2]
    for text in (f"{command}\n{again}", command):
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", text], capture_output=True, text=True, check=False,
            timeout=30, cwd=servers.ROOT,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done
        seen.append(answers(done.stdout))
    (first, replayed), (second,) = seen
    assert first == replayed, "the same KEY is the same redemption"
    assert (first["status"], second["status"]) == ("captured", "captured"), seen
    assert first["amount"] == {"value": 8_800, "currency": "CNY"}
    balances = [answer["card"]["balances"]["total"] for answer in (first, second)]
    assert balances[0] - balances[1] == 8_800


def answers(text: str) -> list[Any]:
    """The JSON documents that curl printed one behind the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def test_only_its_own_database_gets_a_demo_merchant(tmp_path: Path) -> None:
    """A database that is not ours is greeted with the address alone, and is not even asked."""
    nowhere = Settings(database_url="postgresql://127.0.0.1:1/x", data_dir=str(tmp_path))
    text = runner.greeting(nowhere, own_database=False)
    assert (
        text == "Kafang serves http://127.0.0.1:8321   (documentation: http://127.0.0.1:8321/docs)"
    )
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConnectionRefusedError):
        runner.greeting(nowhere, own_database=True)


async def test_another_secret_than_the_first_is_refused(folder: Path) -> None:
    first = servers.start(folder)
    servers.stop(first)
    done = await asyncio.to_thread(
        servers.command, folder, first.port, "run", KAFANG_SECRET_KEY="6e" * 32
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("kafang: KAFANG_SECRET_KEY is not the one this database was")


def test_the_welcome_names_files_only_their_owner_can_read(server: Server) -> None:
    for name in ("demo_pos_key", "demo_merchant_key", "demo.json", "secret_key"):
        assert (server.data_dir / name).stat().st_mode & 0o777 == 0o600, name
        assert name == "secret_key" or name in server.log.read_text("utf-8")


async def test_a_worker_that_is_killed_is_replaced(folder: Path) -> None:
    server = servers.start(folder)
    try:
        first = set(server.workers())
        for _ in range(3):  # more often than workers may fail by themselves
            victim = server.workers()[0]
            os.kill(victim, signal.SIGKILL)
            await until(functools.partial(is_replaced, server, victim, len(first)))
        servers.wait_ready(server)
        assert server.log.read_text("utf-8").count("worker ended") == 3
    finally:
        servers.stop(server)


async def test_a_second_signal_ends_what_does_not_end(folder: Path) -> None:
    server = servers.start(folder)
    processes = family(server)
    stuck = server.workers()[0]
    os.kill(stuck, signal.SIGSTOP)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    await until(lambda: len(server.workers()) == 1)
    server.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, GONE_S) == 0
    assert time.monotonic() - began < workers.STOP_S, "not because its time was over"
    await gone(processes)


async def test_workers_that_fail_by_themselves_end_the_service(server: Server) -> None:
    """As a role that sees every merchant's rows no worker starts."""
    settings = Settings(
        database_url=server.postgres.admin_dsn, port=servers.free_port(), secret_key="0" * 64
    )
    code = (
        "import msgspec, sys; from service import workers; from service.kernel import logs;"
        "from service.settings import Settings; logs.configure('info');"
        "workers.supervise(msgspec.json.decode(sys.argv[1], type=Settings), 100, 'never')"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, msgspec.json.encode(settings).decode(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(GONE_S):
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.count(b"worker ended") >= workers.FAILURES_MAX
    assert b"worker failed" in err


def is_replaced(server: Server, victim: int, count: int) -> bool:
    """Whether there are as many workers as before, without this one."""
    now = server.workers()
    return victim not in now and len(now) == count


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(GONE_S):
        while not condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
