"""The gate: how many requests are served at once, who waits, and who is turned away.

A worker that takes whatever comes serves nobody in time once more comes than it can do: what it
has begun piles up in front of everything new. So it serves a bounded number of requests at once.
The others wait before anything is read of them but their tenant, and whoever got no place after
`wait_s` is answered 503. Waiting is nearly free; a refusal costs a third of a redemption, and its
client comes back at once. So only so many are refused in a second, and a large crowd waits longer:
until half of the time is over in which each must be answered.

Each merchant has a line, its members' tokens have another, and all who show no credential that this
worker knows share one: nobody gets into a line by naming it. Lines take turns for a place, one that
has just begun first, and none may have all of them: a merchant with far too many requests waits for
its own, and neither phones nor strangers push tills aside. Where the service is shared, each may
begin only so many a second besides (`tenant_per_s`; 0 is no limit): as long as there is room for
more, every one served makes the others' wait longer.

Where passwords are sent all guests together have few places and so many turns a second, which come
before all others': they are few. Each comes in a line by its address, one of so many that whoever
sends too much is in the way of that line alone.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import chain
from time import perf_counter
from typing import Any, NamedTuple, cast

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.utils import normalize_path

from service.kernel import logs, metrics
from service.kernel.address import address_of, place_of
from service.kernel.auth import Credential
from service.kernel.budget import Budget
from service.kernel.http import ARRIVED, DUE, KNOWN
from service.kernel.ids import new_id
from service.kernel.problems import OVERLOADED, ProblemError
from service.kernel.replies import Reply, problem_reply

TICK_S = 0.02
# Of a worker: a tenth of a core goes into refusing.
REFUSALS_PER_S = 1000
# Who shows no credential that this worker knows, and the tail of the name of a merchant's members.
# A worker that has just started knows nobody: strangers have no budget, only few places.
STRANGERS, MEMBERS = "", "/members"
# No merchant's id holds a slash. A worker hashes some forty passwords a second where nobody else
# wants its processor.
GUESTS = "/guests/"
GUESTS_PER_S, GUESTS_MAX, GUESTS_OF_LINE_MAX, GUEST_LINES = 30, 8, 4, 256
_lines = logs.Ration(1)


class _Waiting(NamedTuple):
    since: float
    place: "asyncio.Future[bool]"


class Gate:
    """The places of one worker."""

    def __init__(
        self, served_max: int, wait_s: float, deadline_s: float, tenant_per_s: float = 0
    ) -> None:
        self.deadline_s = deadline_s
        self._budget = Budget(tenant_per_s) if tenant_per_s else None
        self._guests = Budget(GUESTS_PER_S)
        self._served_max = served_max
        self._wait_s = wait_s
        # There is always a place for somebody else.
        self._tenant_max = max(1, served_max * 3 // 4)
        self._few_max = max(1, served_max // 4)
        self._served: dict[str, int] = {}
        self._total = self._guests_served = 0
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._guests_waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._tick: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self._time = asyncio.get_running_loop().time

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(len(line) for lines in self._lines for line in lines.values())

    @property
    def _lines(self) -> tuple[OrderedDict[str, deque[_Waiting]], ...]:
        return self._guests_waiting, self._waiting

    def enter(self, tenant: str) -> bool:
        """Take a place, if there is one for this tenant; `leave` gives it back."""
        if (
            self._total >= self._served_max
            or not self._may(tenant)
            or tenant in self._lines_of(tenant)
        ):
            return False
        self._take(tenant)
        return True

    async def wait(self, tenant: str) -> bool:
        """Wait for a place; False when there was none in time."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        lines = self._lines_of(tenant)
        if tenant not in lines:
            lines[tenant] = deque()
            lines.move_to_end(tenant, last=False)
        lines[tenant].append(_Waiting(loop.time(), place))
        self._let_in()
        if self._tick is None:
            self._ticked_at = loop.time()
            self._tick = loop.call_later(TICK_S, self._turn_away)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.leave(tenant)
            raise

    def leave(self, tenant: str) -> None:
        """Give a place back: who waits takes it."""
        self._total -= 1
        left = self._served[tenant] - 1
        if left:
            self._served[tenant] = left
        else:
            del self._served[tenant]
        self._guests_served -= tenant.startswith(GUESTS)
        self._let_in()

    def _lines_of(self, tenant: str) -> OrderedDict[str, deque[_Waiting]]:
        return self._guests_waiting if tenant.startswith(GUESTS) else self._waiting

    def _may(self, tenant: str) -> bool:
        if tenant.startswith(GUESTS):
            most = min(GUESTS_OF_LINE_MAX, self._few_max)
            return self._served.get(tenant, 0) < most and self._may_guests()
        budget = self._budget if tenant else None
        return self._served.get(tenant, 0) < self._most(tenant) and (
            budget is None or budget.allows(tenant, self._time())
        )

    def _may_guests(self) -> bool:
        has_place = self._guests_served < min(GUESTS_MAX, self._few_max)
        return has_place and self._guests.allows(GUESTS, self._time())

    def _most(self, tenant: str) -> int:
        return self._few_max if not tenant or tenant.endswith(MEMBERS) else self._tenant_max

    def _take(self, tenant: str) -> None:
        if tenant.startswith(GUESTS):
            self._guests.spend(GUESTS, self._time())
            self._guests_served += 1
        elif tenant and self._budget is not None:
            self._budget.spend(tenant, self._time())
        self._total += 1
        self._served[tenant] = self._served.get(tenant, 0) + 1

    def _let_in(self) -> None:
        while self._total < self._served_max:
            tenant = self._next()
            if tenant is None:
                return
            place = self._lines_of(tenant)[tenant].popleft().place
            self._next_turn(tenant)
            if not place.done():  # its client may have gone
                self._take(tenant)
                place.set_result(True)

    def _next(self) -> str | None:
        """Whose turn it is. Guests' lines, which may be many, aren't gone through for nothing."""
        guests = self._guests_waiting if self._guests_waiting and self._may_guests() else ()
        return next(filter(self._may, chain(guests, self._waiting)), None)

    def _next_turn(self, tenant: str) -> None:
        """The other tenants come first now."""
        lines = self._lines_of(tenant)
        if lines[tenant]:
            lines.move_to_end(tenant)
        else:
            del lines[tenant]

    def _turn_away(self) -> None:
        """Answer those who have waited long enough, as many as may be refused since last time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        ration = REFUSALS_PER_S * (now - self._ticked_at)
        self._ticked_at = now
        self._let_in()  # time has passed: somebody's budget may allow it now
        for tenant in [*chain(*self._lines)]:
            waiting = self._lines_of(tenant)[tenant]
            while waiting and self._is_due(now - waiting[0].since, ration > 0):
                place = waiting.popleft().place
                if not place.done():
                    place.set_result(False)
                    ration -= 1
            if not waiting:
                del self._lines_of(tenant)[tenant]
        self._tick = loop.call_later(TICK_S, self._turn_away) if any(self._lines) else None
        metrics.set_waiting(self.waiting)

    def _is_due(self, waited_s: float, may_refuse: bool) -> bool:
        """Whether it is time to refuse; half of the time is left to those who are let in."""
        return waited_s >= (self._wait_s if may_refuse else self.deadline_s / 2)


def gated(
    served: ASGIApp, app: Litestar, open_paths: Iterable[str], guest_paths: Iterable[str] = ()
) -> ASGIApp:
    """The application behind its gate (`app.state.gate`).

    Who watches the service asks on the open paths, and must be answered above all when it has too
    much to do. On the guests' paths passwords are sent.
    """
    free, guests = frozenset(open_paths), frozenset(guest_paths)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] in free:
            await served(scope, receive, send)
            return
        gate, facts = cast(Gate, app.state.gate), cast(dict[str, Any], scope)
        facts[DUE] = asyncio.get_running_loop().time() + gate.deadline_s
        facts[KNOWN] = known = app.state.recognised(_credential(scope["headers"]))
        is_guest = scope["method"] == "POST" and normalize_path(scope["path"]) in guests
        tenant = _guest_line(app, scope) if is_guest else _line(known)
        if not gate.enter(tenant):
            facts[ARRIVED] = perf_counter()
            try:
                await _wait(gate, tenant)
            except ProblemError as error:
                await _turned_away(error, facts[ARRIVED])(scope, receive, send)
                return
        try:
            await served(scope, receive, send)
        finally:
            gate.leave(tenant)

    return serve


def _credential(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The text of the credential, or nothing; one that is sent twice is none."""
    sent = [value for name, value in headers if name == b"authorization"]
    scheme, _, text = sent[0].decode("latin-1").partition(" ") if len(sent) == 1 else ("", "", "")
    return text if scheme.lower() == "bearer" else ""


def _line(known: Credential | None) -> str:
    """The line that a request waits in."""
    if known is None:
        return STRANGERS
    return known.merchant_id + (MEMBERS if known.member_id else "")


def _guest_line(app: Litestar, scope: Scope) -> str:
    """The line of whoever shows a password, by where they come from."""
    place = place_of(address_of(scope, getattr(app.state, "trusted_proxies", 0)))
    return f"{GUESTS}{hash(place) % GUEST_LINES}"


async def _wait(gate: Gate, tenant: str) -> None:
    """Wait for a place. Raises 503 when there was none in time."""
    if not await gate.wait(tenant):
        raise ProblemError(OVERLOADED)


def _turned_away(error: ProblemError, arrived: float) -> Reply:
    metrics.count_refusal(error.code.code)
    metrics.count_request("gate", error.code.status, perf_counter() - arrived)
    if _lines.allows():
        logs.log.warning(error.code.code, left_out=_lines.left_out())
    return problem_reply(error, new_id("req"))
