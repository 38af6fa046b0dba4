"""Terms: a tenant's configuration as of one epoch. Never a cache with a lifetime.

Every change of a store, credential, template or of the merchant raises the merchant's epoch in its
own transaction, and every batch reads the epoch in its round trip: what is remembered is used only
while the two agree (design section 3).
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import Struct, field

from schemas.policies import InForce
from schemas.templates import CardTemplateCreate
from service.kernel import database
from service.kernel.auth import Credential
from service.kernel.permissions import Grant, allowed
from service.kernel.sql import SQL
from service.ledger.state import StoreTerms, TemplateTerms
from service.rules import policies
from service.rules.ladder import Step

MERCHANTS_MAX = 10_000
ENTRIES_MAX = 20_000

TemplateRef = tuple[str, int]


class Merchant(Struct, frozen=True):
    """The tenant's own row.

    `clock`: the server's time at the read; `test_now`: the test tenant's, if it has one.
    """

    merchant_id: str
    mode: str
    status: str
    currency: str
    time_zone: str
    epoch: int
    test_now: datetime | None
    clock: datetime


class Tenant(Struct):
    """What is known of a tenant at `merchant.epoch`. Templates: (id, 0) is the latest version."""

    merchant: Merchant
    credentials: dict[bytes, Credential] = field(default_factory=dict)
    stores: dict[str, StoreTerms | None] = field(default_factory=dict)
    templates: dict[TemplateRef, TemplateTerms | None] = field(default_factory=dict)

    def lacks(
        self, hashes: Iterable[bytes], stores: Iterable[str], templates: Iterable[TemplateRef]
    ) -> bool:
        """Whether any of these was never looked up at this epoch."""
        return (
            any(h not in self.credentials for h in hashes)
            or any(s not in self.stores for s in stores)
            or any(t not in self.templates for t in templates)
        )


class Terms:
    """The tenants a worker knows, least recently loaded out first."""

    def __init__(self, pool: database.Pool) -> None:
        self._pool = pool
        self._tenants: OrderedDict[str, Tenant] = OrderedDict()

    def known(self, merchant_id: str, epoch: int | None = None) -> Tenant | None:
        """What is remembered, if its epoch is the given one (None: whichever it is)."""
        tenant = self._tenants.get(merchant_id)
        return tenant if tenant is not None and epoch in (None, tenant.merchant.epoch) else None

    async def load(
        self,
        merchant_id: str,
        hashes: Iterable[bytes] = (),
        stores: Iterable[str] = (),
        templates: Iterable[TemplateRef] = (),
        connection: database.Connection | None = None,
        *,
        remember: bool = True,
    ) -> Tenant | None:
        """Read these in one snapshot, and remember them beside what is known of the same epoch.

        With `connection`, in the snapshot that it has open; what that transaction has changed
        itself must not be remembered, as long as it may be rolled back or change more of it. None
        when there is no such tenant.
        """
        wanted = (set(hashes), set(stores), set(templates))
        if connection is not None:
            read = await _read(connection, merchant_id, *wanted)
        else:
            async with database.borrowed(self._pool) as own:
                read = await _read(own, merchant_id, *wanted)
        return self._remember(read) if read is not None and remember else read

    def _remember(self, read: Tenant) -> Tenant:
        merchant = read.merchant
        known = self.known(merchant.merchant_id, merchant.epoch)
        if (
            known is not None
            and len(known.stores) + len(known.templates) + len(known.credentials) < ENTRIES_MAX
        ):
            known.credentials.update(read.credentials)
            known.stores.update(read.stores)
            known.templates.update(read.templates)
            return known
        self._tenants[merchant.merchant_id] = read
        self._tenants.move_to_end(merchant.merchant_id)
        if len(self._tenants) > MERCHANTS_MAX:
            self._tenants.popitem(last=False)
        return read

    def known_credential(self, merchant_id: str, secret_hash: bytes) -> Credential | None:
        """The credential, if it is remembered."""
        tenant = self.known(merchant_id)
        return tenant.credentials.get(secret_hash) if tenant else None

    async def credential(self, merchant_id: str, secret_hash: bytes) -> Credential | None:
        """The credential as last read.

        Good enough to let a request in: it is read again with what the request does.
        """
        credential = self.known_credential(merchant_id, secret_hash)
        if credential is None:
            tenant = await self.load(merchant_id, [secret_hash])
            credential = tenant.credentials.get(secret_hash) if tenant else None
        return credential


async def _read(
    connection: database.Connection,
    merchant_id: str,
    hashes: set[bytes],
    stores: set[str],
    templates: set[TemplateRef],
) -> Tenant | None:
    ids, versions = [t[0] for t in templates], [t[1] for t in templates]
    row = await connection.fetchrow(
        SQL["tenant.terms"], merchant_id, list(hashes), list(stores), ids, versions
    )
    if row is None or row["merchant_id"] is None:
        return None
    *columns, credential_rows, session_rows, store_rows, template_rows = row
    merchant = Merchant(*columns)
    tenant = Tenant(merchant, stores=dict.fromkeys(stores), templates=dict.fromkeys(templates))
    for (
        api_key_id,
        secret_hash,
        scopes,
        store_id,
        expires_at,
        networks,
        is_signed,
    ) in credential_rows:
        tenant.credentials[secret_hash] = Credential(
            merchant_id,
            api_key_id,
            secret_hash,
            frozenset(scopes),
            store_id,
            expires_at,
            merchant.epoch,
            networks=None if networks is None else tuple(networks),
            signed=is_signed,
        )
    for session in session_rows:
        found = _session(merchant, *session)
        tenant.credentials[found.secret_hash] = found
    for *store, said in store_rows:
        tenant.stores[store[0]] = StoreTerms(*[*store, _policy(said)])
    for template_id, asked, version, rules in template_rows:
        tenant.templates[template_id, asked] = _template(template_id, version, rules)
    return tenant


def _session(
    merchant: Merchant,
    session_id: str,
    user_id: str,
    secret_hash: bytes,
    second_factor: bool,
    expires_at: datetime,
    grants: list[tuple[str, list[str] | None, list[str] | None]],
) -> Credential:
    """What a person may in this session, by the roles they have now."""
    found = allowed((Grant.read(*grant) for grant in grants), second_factor=second_factor)
    return Credential(
        merchant.merchant_id,
        None,
        secret_hash,
        found.scopes,
        None,
        expires_at,
        merchant.epoch,
        user_id=user_id,
        session_id=session_id,
        stores=found.stores,
        withheld=found.withheld,
        second_factor=second_factor,
    )


def _policy(rows: list[tuple[str, int, str]]) -> InForce:
    """What holds at a store, by what is said from headquarters down to it."""
    return policies.in_force([(node_id, policies.stored(rules)) for node_id, _, rules in rows])


def _template(template_id: str, version: int, rules: str) -> TemplateTerms:
    parsed = msgspec.json.decode(rules, type=CardTemplateCreate)
    steps = tuple(Step(step.pay, step.bonus, step.bonus_validity) for step in parsed.top_up_rules)
    return TemplateTerms(template_id, version, parsed, frozenset(parsed.stores.ids), steps)
