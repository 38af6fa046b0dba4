"""Requests at fixed times whatever the services do, on lines that can be moved between them.

A line that breaks sends what had no answer again, under the same key, where requests go now: what a
till has to do anyhow. `Idempotent-Replayed` then tells that the service had taken it before.
"""

import asyncio
import time
from collections import Counter
from typing import Any

from tests.crash.crew import TRANSPORT
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant, TestCard

LINES = 48
PATIENCE_S = 30.0
PAUSE_S = 0.02


class Line:
    """One connection of a client, opened where requests go when it is needed."""

    def __init__(self, traffic: "Traffic", token: str) -> None:
        self._traffic, self._token = traffic, token
        self.port, self.busy = 0, False
        self._client = Client("", 0)

    async def ask(self, method: str, path: str, body: Any = None, key: str = "") -> Response:
        """The answer; asked for again after a broken line. TimeoutError after PATIENCE_S."""
        self.busy = True
        try:
            return await self._until_answered(method, path, body, key)
        finally:
            self.busy = False
            self.leave()

    async def _until_answered(self, method: str, path: str, body: Any, key: str) -> Response:
        deadline, again = time.monotonic() + PATIENCE_S, False
        while True:
            self._connect()
            try:
                send = self._client.get(path) if method == "GET" else None
                answer = await (send or self._client.post(path, body, key or None))
            except TRANSPORT:
                if time.monotonic() > deadline:
                    raise
                self._traffic.counts["sent again"] += 1
                self.port, again = 0, True
                await asyncio.sleep(PAUSE_S)
                continue
            replayed = answer.headers.get("idempotent-replayed") == "true"
            self._traffic.counts["answers lost"] += again and replayed
            return answer

    def _connect(self) -> None:
        if not self.port:
            self.close()
            self.port = self._traffic.port
            self._client = Client("127.0.0.1", self.port, self._token, PATIENCE_S)

    def leave(self) -> None:
        """Close a line that has no answer to wait for and should be elsewhere."""
        if self._traffic.moving and not self.busy and self.port != self._traffic.port:
            self.close()

    def close(self) -> None:
        """Cut the line."""
        self._client.drop()
        self.port = 0


class Traffic:
    """Load of one merchant on `port`. `counts` holds figures, `failures` what must not be."""

    def __init__(self, port: int, tenant: Tenant, cards: list[TestCard], per_s: float) -> None:
        self.port, self.moving = port, True
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest_s = 0.0
        self.tenant, self._cards, self._per_s = tenant, cards, per_s
        self._due: asyncio.Queue[float | None] = asyncio.Queue()
        self._lines = [Line(self, tenant.pos_keys[0]) for _ in range(LINES)]
        self._office = Line(self, tenant.merchant_key)
        self._going = True

    async def move(self, port: int) -> None:
        """Send everything there from now on; return when no line leads elsewhere any more."""
        self.port, self.moving = port, True
        lines = [*self._lines, self._office]
        for line in lines:
            line.leave()
        deadline = time.monotonic() + PATIENCE_S
        while any(line.port not in (0, port) for line in lines):
            if time.monotonic() > deadline:
                raise TimeoutError(f"lines still lead elsewhere after {PATIENCE_S} s")
            await asyncio.sleep(PAUSE_S)

    def divert(self, port: int) -> None:
        """Open new lines there from now on, but use those there are until they break."""
        self.port, self.moving = port, False

    async def run(self) -> None:
        """Ask until `end`, and wait for what is due."""
        async with asyncio.TaskGroup() as clients:
            for line in self._lines:
                clients.create_task(self._sell(line))
            clients.create_task(self._walk())
            await self._make_due()

    async def _make_due(self) -> None:
        began, sent = time.perf_counter(), 0
        while self._going:
            while began + sent / self._per_s <= time.perf_counter():
                self._due.put_nowait(began + sent / self._per_s)
                sent += 1
            await asyncio.sleep(0.001)
        for _ in self._lines:
            self._due.put_nowait(None)

    def end(self) -> None:
        """Let nothing become due any more."""
        self._going = False

    async def _sell(self, line: Line) -> None:
        while (due := await self._due.get()) is not None:
            self.counts["sent"] += 1
            number = self.counts["sent"]
            key = f"upgrade-{number:08}"
            body = {
                "request_no": key,
                "amount": {"value": 1, "currency": "CNY"},
                "sources": [{"card_number": self._cards[number % len(self._cards)].number}],
            }
            if await self._require(line, "POST", "/v1/redemptions", body, key):
                self.counts["redeemed"] += 1
            self.slowest_s = max(self.slowest_s, time.perf_counter() - due)
        line.close()

    async def _require(self, line: Line, method: str, path: str, body: Any, key: str) -> Any:
        """The body of an answer of the 2xx kind; any other is a failure."""
        try:
            answer = await line.ask(method, path, body, key)
        except TRANSPORT as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        if answer.status // 100 == 2:
            self.counts["answered"] += 1
            return answer.json()
        self.failures.append(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return None

    async def _walk(self) -> None:
        """One client goes through everything else that the services do, again and again."""
        while self._going:
            self.counts["walks"] += 1
            await self._round(f"walk-{self.counts['walks']:06}")
        self._office.close()

    async def _round(self, name: str) -> None:
        async def post(path: str, body: Any) -> Any:
            key = f"{name}-{path.rpartition('/')[2]}"
            return await self._require(self._office, "POST", path, body, key)

        async def get(path: str) -> Any:
            return await self._require(self._office, "GET", path, None, "")

        store = self.tenant.store_ids[0]
        card = await post("/v1/cards", {"template_id": self.tenant.template_id, "activate": True})
        if card is None:
            return
        money = {"amount": {"value": 40_000, "currency": "CNY"}, "tender": "cash"}
        await post(f"/v1/cards/{card['id']}/top-ups", {**money, "store_id": store})
        sale = {
            "request_no": name,
            "amount": {"value": 500, "currency": "CNY"},
            "sources": [{"card_number": card["card_number"]}],
            "store_id": store,
        }
        sold = await post("/v1/redemptions", sale)
        if sold is None:
            return
        part = {"amount": {"value": 100, "currency": "CNY"}}
        await post(f"/v1/redemptions/{sold['id']}/refunds", part)
        await post("/v1/reversals", {"idempotency_key": f"{name}-redemptions"})
        await post(f"/v1/cards/{card['id']}/freeze", {})
        for path in (
            *(f"/v1/cards/{card['id']}", f"/v1/cards/{card['id']}/statement"),
            *(f"/v1/redemptions/{sold['id']}", f"/v1/receipts/{sold['id']}"),
            *("/v1/reports/liability", "/v1/card-templates"),
        ):
            await get(path)
