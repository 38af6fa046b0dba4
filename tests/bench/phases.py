"""CPU per redemption by batch size, without HTTP: `python -m tests.bench.phases`.

The writer runs in this process, on one lane against an embedded PostgreSQL with durable commits.
CPU time says where the work is, also on a machine that others use: `client` is this process,
`backend` the lane's server process, `server` all of PostgreSQL (WAL writer, checkpointer and the
rest included). Wall time is for a quiet machine. The last line is pgbench doing the same writes one
by one, its connections included.
"""

import argparse
import asyncio
import resource
import secrets
import time

import uvloop

from service.kernel import database, embedded, tokens
from service.kernel.auth import Credential
from service.kernel.database import Connection
from service.kernel.migrations import migrate
from service.ledger import connections
from service.ledger.batch import Settled
from service.ledger.commands import Command, Redeem
from service.ledger.terms import Terms
from service.ledger.writer import Writer
from tests.bench import cpu, pgbench, seed
from tests.bench.seed import Merchant

SIZES = (1, 16, 64, 128)
CLIENTS, SECONDS = 16, 10

Clocks = tuple[float, float, float, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.phases", description=__doc__)
    parser.add_argument("--redemptions", type=int, default=6400, help="of each size (default 6400)")
    parser.add_argument("--cards", type=int, default=10_000)
    parser.add_argument("--operations", type=int, default=100_000, help="in the ledger before")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    with embedded.temporary() as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(_measure(server, arguments))


async def _measure(server: embedded.Server, arguments: argparse.Namespace) -> None:
    await migrate(server.owner_dsn)
    async with seed.superuser(server.admin_dsn) as admin:
        (merchant,) = await seed.seed(admin, 1, arguments.cards, arguments.operations)
    backends: list[int] = []

    async def connect() -> Connection:
        connection = await connections.connect(server.app_dsn, allow_unsafe=False)
        backends.append(connection.get_server_pid())
        return connection

    pool = await database.open_pool(server.app_dsn, 1)
    terms = Terms(pool)
    token = tokens.parse(merchant.token)
    assert token is not None
    credential = await terms.credential(token.merchant_id, token.secret_hash)
    assert credential is not None
    writer = Writer(
        connect,
        terms,
        secrets.token_bytes(32),
        lanes=1,
        batch_max=max(arguments.sizes),
        queue_max=4096,
        patience_s=5.0,
    )
    await writer.start()
    postmaster = server.postmaster_pid
    assert postmaster is not None
    print("us per redemption   client  backend   server     wall")
    try:
        for size in arguments.sizes:
            await _run(writer, credential, merchant, size, 20)  # statements are planned once
            rounds = max(1, arguments.redemptions // size)
            before = _clocks(backends[-1], postmaster)
            await _run(writer, credential, merchant, size, rounds)
            after = _clocks(backends[-1], postmaster)
            _print(f"batches of {size}", before, after, rounds * size)
        answer = await _run(writer, credential, merchant, 1, 1)
        used, before = _children_us(), _clocks(backends[-1], postmaster)
        one_by_one = await pgbench.measure(
            server.app_dsn, merchant, (0, merchant.cards - 1), answer, CLIENTS, 0, SECONDS
        )
        after = (before[0] + _children_us() - used, *_clocks(backends[-1], postmaster)[1:])
        _print(f"pgbench -c {CLIENTS}", before, after, one_by_one.least)
    finally:
        await writer.close()
        await pool.close()


def _clocks(backend: int, postmaster: int) -> Clocks:
    return (
        time.process_time() * 1e6,
        cpu.busy_us(backend),
        cpu.family_us(postmaster),
        time.perf_counter() * 1e6,
    )


def _children_us() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def _print(what: str, before: Clocks, after: Clocks, redemptions: int) -> None:
    figures = [(b - a) / redemptions for a, b in zip(before, after, strict=True)]
    print(f"{what:<19}" + "".join(f"{figure:>9.1f}" for figure in figures), flush=True)


async def _run(
    writer: Writer, credential: Credential, merchant: Merchant, size: int, rounds: int
) -> bytes:
    """Redeem in batches of a size; the last answer."""
    body = b""
    for _ in range(rounds):
        commands = [_command(credential, merchant) for _ in range(size)]
        for answer in await asyncio.gather(*[writer.submit(command) for command in commands]):
            assert isinstance(answer, Settled), answer
            assert answer.status == 201, answer
            body = answer.body
    return body


def _command(credential: Credential, merchant: Merchant) -> Command:
    intent = Redeem(secrets.token_hex(8), 1, "CNY", [], True, None, None)
    return Command(
        intent,
        credential,
        "redemptions:write",
        seed.card_number(secrets.randbelow(merchant.cards)),
        merchant.store_id,
        None,
        secrets.token_bytes(16),
        secrets.token_bytes(16),
        "req_bench",
    )


if __name__ == "__main__":
    main()
