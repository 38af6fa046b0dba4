"""A reader of the feed of events that goes on after what it has, whatever is killed meanwhile.

In the end it must have every operation of its merchant once, numbered without a gap, and those of
each card in the order of its versions (INV-D11).
"""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg

from tests.crash.crew import TRANSPORT
from tests.crash.journal import Finding
from tests.harness.client import Client
from tests.harness.server import Server

PAUSE_S = 0.05
CAUGHT_UP_S = 30.0
ALL_EVENTS = """
select operation_id as id from operation where merchant_id = $1
union all select audit_entry_id from audit_entry where merchant_id = $1
"""


class Reader:
    """Reads while it is not stopped; `findings` is what must not be."""

    def __init__(self, server: Server, merchant_id: str, token: str) -> None:
        self._merchant_id = merchant_id
        self._client = Client(server.host, server.port, token, 5.0)
        self._last_seq = 0
        self._seen: set[str] = set()
        self._versions: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._wanted: int | None = None
        self._has_all = asyncio.Event()
        self.findings: list[Finding] = []

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._read())

    async def finish(self, owner_dsn: str) -> None:
        """Read to the end, and hold it against the tables. Nothing must be written any more."""
        wanted = await self._all(owner_dsn)
        self._wanted = len(wanted)
        with suppress(TimeoutError):
            if len(self._seen) < self._wanted:
                await asyncio.wait_for(self._has_all.wait(), CAUGHT_UP_S)
        await self.stop()
        self.findings += [
            Finding("lost", name, "has no event after all") for name in wanted - self._seen
        ]
        self.findings += [
            Finding("breach", name, "an event of nothing") for name in self._seen - wanted
        ]

    async def stop(self) -> None:
        """Read no more. Raises what stopped it, if that was an error of its own."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()):
                raise error
        self._client.drop()

    async def _read(self) -> None:
        while True:
            try:
                answer = await self._client.get(f"/v1/events?after={self._last_seq}&limit=1000")
            except TRANSPORT:
                await asyncio.sleep(PAUSE_S)
                continue
            page: dict[str, Any] = {"data": [], "has_more": False}
            if answer.status == 200:
                page = answer.json()
            for event in page["data"]:
                self._take(event)
            if not page["has_more"]:
                await asyncio.sleep(PAUSE_S)

    def _take(self, event: dict[str, Any]) -> None:
        operation = event["operation"] or {}
        name = operation.get("operation_id") or event["change"]["audit_entry_id"]
        if event["seq"] != self._last_seq + 1:
            detail = f"number {event['seq']} came after {self._last_seq}"
            self.findings.append(Finding("breach", name, detail))
        if name in self._seen:
            self.findings.append(Finding("twice", name, "has two events"))
        self._last_seq = event["seq"]
        self._seen.add(name)
        if len(self._seen) == self._wanted:
            self._has_all.set()
        if card := operation.get("card"):
            before = self._versions.get(operation["card_id"], 0)
            if card["version"] != before + 1:
                detail = f"version {card['version']} came after {before}"
                self.findings.append(Finding("breach", operation["card_id"], detail))
            self._versions[operation["card_id"]] = card["version"]

    async def _all(self, owner_dsn: str) -> set[str]:
        connection = await asyncpg.connect(owner_dsn)
        try:
            async with connection.transaction():
                await connection.execute(
                    "select set_config('kafang.merchant_id', $1, true)", self._merchant_id
                )
                rows = await connection.fetch(ALL_EVENTS, self._merchant_id)
        finally:
            await connection.close()
        return {row["id"] for row in rows}
