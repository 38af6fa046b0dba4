"""Two hundred people who sign in at once, over and over, until SIGTERM; then what they were told.

A process of its own, which gives way to what is measured: their phones are no part of the server.
Called by `signing_in`: `python -m tests.bench.crowd PORT MERCHANT < addresses`.
"""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import suppress

from msgspec import Struct

from tests.harness import people
from tests.harness.client import Client

# Of every so many one hangs up before the answer.
HANGS_UP = 4


class Crowd(Struct):
    """People who sign in, and what they were told; 0: they had hung up."""

    port: int
    merchant_id: str
    emails: list[str]
    told: Counter[int]

    async def flood(self) -> None:
        """All of them at once, again and again, until it is cancelled."""
        await asyncio.gather(*(self._insist(number) for number in range(len(self.emails))))

    async def _insist(self, number: int) -> None:
        body = {
            "merchant_id": self.merchant_id,
            "email": self.emails[number],
            "password": people.PASSWORD,
        }
        for turn in range(number, 10**9):
            line = Client("127.0.0.1", self.port)
            try:
                asked = asyncio.create_task(line.post("/v1/sessions", body))
                if turn % HANGS_UP == 0:
                    await asyncio.wait([asked], timeout=0.05)
                    self.told[0] += not asked.done()
                else:
                    self.told[(await asked).status] += 1
            finally:
                asked.cancel()
                line.drop()
                with suppress(asyncio.CancelledError, OSError, EOFError):
                    await asked


async def main() -> None:
    """Flood until told to stop, and print the counts."""
    os.nice(19)
    emails = sys.stdin.read().split()
    crowd = Crowd(int(sys.argv[1]), sys.argv[2], emails, Counter())
    flood = asyncio.create_task(crowd.flood())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, flood.cancel)
    print("begun", flush=True)
    with suppress(asyncio.CancelledError):
        await flood
    print(json.dumps(crowd.told))


if __name__ == "__main__":
    asyncio.run(main())
