"""The application: every route in one list, the long-lived parts opened and closed with it."""

import asyncio
import functools
import gc
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import replace

import service.api_keys.routes
import service.approvals.routes
import service.areas.routes
import service.audit.routes
import service.cards.routes
import service.days.routes
import service.docs.routes
import service.error_codes.routes
import service.events.routes
import service.members.routes
import service.merchants.routes
import service.personal.routes
import service.policies.routes
import service.receipts.routes
import service.records.routes
import service.redemptions.routes
import service.reports.routes
import service.reversals.routes
import service.sessions.routes
import service.stores.routes
import service.templates.routes
import service.top_ups.routes
import service.users.routes
import service.visits.routes
from service import demo_tenant, health
from service.docs import pages as docs
from service.error_codes import operations as error_codes
from service.events.anchors import Anchors
from service.events.sequencer import Sequencer
from service.kernel import database, errors, logs, metrics, openapi, orphan, tracing
from service.kernel.gate import Gate
from service.kernel.http import BODY_MAX_BYTES
from service.kernel.passwords import Passwords
from service.kernel.routes import Route
from service.kernel.signing import Signatures
from service.ledger import connections, credentials
from service.ledger.door import Keys
from service.ledger.reading import confirm
from service.ledger.terms import Terms
from service.ledger.writer import Writer
from service.settings import Settings, check_secret, keyring_of, load

# The contract's: what breaks a client raises its minor part, from 1.0 on its major part.
VERSION = "0.1.0"
DESCRIPTION = """Kafang issues and redeems stored-value cards.

Amounts are integers in minor units with their currency. Every write that moves value needs an
`Idempotency-Key`: store it before you send, and after a time-out send the same request with the
same key. Errors are problem+json with a stable `code`, all `reasons` at once, and `outcome` and
`retry` that say what happened and what to do next."""


def handlers() -> Sequence[HTTPRouteHandler]:
    """Every route of the API, in the order of the contract."""
    return [
        *service.templates.routes.HANDLERS,
        *service.cards.routes.HANDLERS,
        *service.members.routes.HANDLERS,
        *service.personal.routes.HANDLERS,
        *service.policies.routes.HANDLERS,
        *service.records.routes.HANDLERS,
        *service.top_ups.routes.HANDLERS,
        *service.redemptions.routes.HANDLERS,
        *service.reversals.routes.HANDLERS,
        *service.receipts.routes.HANDLERS,
        *service.days.routes.HANDLERS,
        *service.reports.routes.HANDLERS,
        *service.events.routes.HANDLERS,
        *service.audit.routes.HANDLERS,
        *service.stores.routes.HANDLERS,
        *service.areas.routes.HANDLERS,
        *service.sessions.routes.HANDLERS,
        *service.users.routes.HANDLERS,
        *service.api_keys.routes.HANDLERS,
        *service.visits.routes.HANDLERS,
        *service.approvals.routes.HANDLERS,
        *service.merchants.routes.HANDLERS,
        *service.error_codes.routes.HANDLERS,
        *health.HANDLERS,
    ]


def declared() -> list[Route]:
    """The declarations of those routes."""
    return [handler.opt["declared"] for handler in handlers()]


def document() -> dict[str, Any]:
    """The contract: OpenAPI 3.1."""
    # What the routes really answered to their own examples: tests/contract/flow.py.
    answers = json.loads(files("service").joinpath("examples.json").read_text("utf-8"))
    routes = [
        replace(route, example_answer=answers.get(route.operation_id)) for route in declared()
    ]
    return openapi.document(routes, "Kafang", VERSION, DESCRIPTION)


def openapi_text() -> str:
    """The contract as committed in openapi/openapi.json: indented, stable, with a final newline."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def create_app(settings: Settings | None = None) -> Litestar:
    """The ASGI application; settings come from the environment unless given."""
    settings = settings or load()
    logs.configure(settings.log_level, access=False)
    return Litestar(
        route_handlers=[*handlers(), *health.UNDOCUMENTED, *service.docs.routes.HANDLERS],
        lifespan=[functools.partial(_parts, settings)],
        exception_handlers=errors.exception_handlers(),
        openapi_config=None,
        request_max_body_size=BODY_MAX_BYTES,
        logging_config=None,
    )


def _to_try_out(contract: str, settings: Settings) -> str:
    """The contract whose examples run: with the demo tenant's ids, where there is one."""
    demo = demo_tenant.read(settings.data_dir) if settings.demo else None
    return demo.placed_into(contract) if demo else contract


@asynccontextmanager
async def _parts(settings: Settings, app: Litestar) -> AsyncIterator[None]:
    """Open what a worker needs, refuse an unsafe database, close in reverse."""
    orphan.end_with_supervisor()
    await database.wait_until_reachable(settings.database_url)
    async with AsyncExitStack() as opened:
        opened.callback(asyncio.create_task(metrics.keep_flushing()).cancel)
        tracing.start(VERSION)
        opened.push_async_callback(tracing.stop)
        pool = await database.open_pool(settings.database_url, settings.reader_connections)
        opened.push_async_callback(pool.close)
        async with pool.acquire() as connection:
            await database.check_role(connection)
            await check_secret(connection, settings)
        keyring = keyring_of(settings, settings.database_url)
        opened.push_async_callback(keyring.close)
        terms, keys = Terms(pool), Keys.of(settings.secret())
        uses = credentials.Uses(pool, settings.session_idle_s)
        passwords = Passwords(breaches=settings.breaches())
        opened.push_async_callback(uses.close)
        opened.callback(passwords.close)
        writer = _writer(settings, terms, keys)
        opened.push_async_callback(writer.close)
        await writer.start()
        if settings.sequencer:
            opened.callback(asyncio.create_task(_sequencer(settings).run()).cancel)
        app.state.update(_state(settings, pool, terms, keys, writer))
        app.state.update({"use": uses.note, "passwords": passwords, "keyring": keyring})
        app.state.signatures = Signatures(keys.signing, pool)
        _calm_collector()
        yield


def _writer(settings: Settings, terms: Terms, keys: Keys) -> Writer:
    """The one door, not open yet."""
    connect = functools.partial(
        connections.connect,
        settings.database_url,
        allow_unsafe=settings.allow_unsafe_durability,
    )
    return Writer(
        connect,
        terms,
        keys.quote,
        lanes=settings.lanes,
        batch_max=settings.batch_max,
        queue_max=settings.queue_max,
        patience_s=settings.patience_s,
    )


def _sequencer(settings: Settings) -> Sequencer:
    """Whoever numbers events, if no other worker does."""
    connect = functools.partial(database.connect_sequencer, settings.database_url)
    return Sequencer(connect, Anchors(settings.anchors(), settings.anchor_s))


def _state(
    settings: Settings, pool: database.Pool, terms: Terms, keys: Keys, writer: Writer
) -> dict[str, Any]:
    """What operations find in the application's state."""
    contract = openapi_text()
    codes = error_codes.listed(declared())
    return {
        "pool": pool,
        "terms": terms,
        "door_keys": keys,
        "writer": writer,
        "gate": Gate(
            settings.served_max,
            settings.wait_s,
            settings.deadline_s,
            settings.tenant_per_s,
        ),
        "trusted_proxies": settings.trusted_proxies,
        "session_idle_s": settings.session_idle_s,
        "session_s": settings.session_s,
        "company_mail_only": settings.company_mail_only,
        "reporting": asyncio.Semaphore(1),
        "closing": asyncio.Semaphore(1),
        "pressing": asyncio.Semaphore(1),
        "authenticate": functools.partial(credentials.authenticate, terms, keys.member_token),
        "recognised": functools.partial(credentials.recognised, terms, keys.member_token),
        "confirm": confirm,
        "renew": functools.partial(credentials.renew, terms),
        "openapi": contract.encode("utf-8"),
        "error_codes": msgspec.json.encode(codes),
        "pages": docs.pages(codes, _to_try_out(contract, settings), settings.port),
    }


def _calm_collector() -> None:
    """What start-up made lives for ever, and what a request makes dies with its last reference.

    So the cycle collector need not walk the former and may look at the latter less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
