"""`python -m tests.bench` (`make bench`): measure, print, and write docs/performance.md."""

import argparse
import asyncio
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable

import msgspec
import uvloop
from msgspec import Struct

from service.ledger import invariants
from tests.bench import bench, measures, report
from tests.bench.bench import QUICK, Bench, Plan, say
from tests.bench.export import export
from tests.bench.figures import BenchError, Line
from tests.bench.growth import growth
from tests.bench.overload import neighbour, overload
from tests.bench.sequencing import sequencer
from tests.bench.signing_in import sign_in
from tests.harness import server as servers

MEASURES: dict[str, Callable[[Bench], Awaitable[list[Line]]]] = {
    "redemption": measures.redemption,
    "hot_card": measures.hot_card,
    "merchants": measures.merchants,
    "latency": measures.latency,
    "sign_in": sign_in,
    "memory": measures.memory,
    "overload": overload,
    "neighbour": neighbour,
    "export": export,
    "sequencer": sequencer,
    "growth": growth,
}
# Measured only when asked for: they take long.
LONG = {"memory": "soak", "growth": "growth"}


class Chosen(Struct, frozen=True):
    """What the command line asks for."""

    names: list[str]
    plan: Plan
    write: bool


def main() -> None:
    """Run; exit 1 when something could not be measured. A missed target is a result."""
    chosen = _chosen()
    # Whatever ends the bench, it ends what it started; a shell may have told it to ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with (
            servers.running() as server,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            failures = runner.run(_run(chosen, server))
    except KeyboardInterrupt:
        sys.exit(130)
    for failure in failures:
        say(failure)
    sys.exit(1 if failures else 0)


def _chosen() -> Chosen:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute; says nothing about speed")
    parser.add_argument("--only", action="append", choices=MEASURES, help="may be repeated")
    parser.add_argument("--soak", action="store_true", help="also memory under ten minutes of load")
    parser.add_argument("--growth", action="store_true", help="also a ledger of 10 M operations")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md alone")
    sizes = ["rounds", "seconds", "cards", "operations", "large_cards", "large_operations"]
    sizes += ["soak_s", "overload_s", "export_operations"]
    for size in sizes:
        parser.add_argument(f"--{size.replace('_', '-')}", type=int, metavar="N")
    arguments = parser.parse_args()
    given = {size: value for size in sizes if (value := getattr(arguments, size)) is not None}
    plan = msgspec.structs.replace(QUICK if arguments.quick else Plan(), **given)
    names = arguments.only or [
        name for name in MEASURES if name not in LONG or getattr(arguments, LONG[name])
    ]
    return Chosen(names, plan, not (arguments.quick or arguments.no_write))


async def _run(chosen: Chosen, server: servers.Server) -> list[str]:
    """Measure one after the other; what failed, in words."""
    failures = []
    command = shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])
    async with bench.opened(chosen.plan, server) as opened:
        version = await opened.admin.fetchval("show server_version")
        where = report.machine(version, server.data_dir)
        print(f"{command}\n{where}\n", flush=True)
        for name in chosen.names:
            say(f"measuring {name}")
            try:
                lines = await MEASURES[name](opened)
            except BenchError as error:
                failures.append(f"{name} failed: {error}")
                continue
            print(f"{name}\n\n{report.table(lines)}\n", flush=True)
            if chosen.write:
                report.write(name, lines, command, where)
    say("verifying the ledger")
    verified = await invariants.verify(server.postgres.owner_dsn)
    print(verified.text(), flush=True)
    if verified.breaches:
        failures.append("the ledger is not whole")
    return failures


if __name__ == "__main__":
    main()
