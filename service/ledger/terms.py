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

from schemas.templates import CardTemplateCreate
from service.kernel import database
from service.kernel.auth import Credential
from service.kernel.sql import SQL
from service.ledger.state import StoreTerms, TemplateTerms
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
    ) -> Tenant | None:
        """Read these in one snapshot, and remember them beside what is known of the same epoch.

        None when there is no such tenant.
        """
        async with database.tenant(self._pool, merchant_id, snapshot=True) as connection:
            merchant = await database.one(connection, "tenant.merchant", Merchant, merchant_id)
            if merchant is None:
                return None
            return await self.remember(connection, merchant, hashes, stores, templates)

    async def remember(
        self,
        connection: database.Connection,
        merchant: Merchant,
        hashes: Iterable[bytes] = (),
        stores: Iterable[str] = (),
        templates: Iterable[TemplateRef] = (),
    ) -> Tenant:
        """Read these in the snapshot that a connection has open, in which `merchant` was read."""
        merchant_id = merchant.merchant_id
        wanted = (list(set(hashes)), list(set(stores)), list(set(templates)))
        read = Tenant(merchant)
        await _read(connection, read, *wanted)
        known = self.known(merchant_id, merchant.epoch)
        if (
            known is not None
            and len(known.stores) + len(known.templates) + len(known.credentials) < ENTRIES_MAX
        ):
            known.credentials.update(read.credentials)
            known.stores.update(read.stores)
            known.templates.update(read.templates)
            return known
        self._tenants[merchant_id] = read
        self._tenants.move_to_end(merchant_id)
        if len(self._tenants) > MERCHANTS_MAX:
            self._tenants.popitem(last=False)
        return read

    async def credential(self, merchant_id: str, secret_hash: bytes) -> Credential | None:
        """The credential as last read.

        Good enough to let a request in: it is read again with what the request does.
        """
        tenant = self.known(merchant_id)
        credential = tenant.credentials.get(secret_hash) if tenant else None
        if credential is None:
            tenant = await self.load(merchant_id, [secret_hash])
            credential = tenant.credentials.get(secret_hash) if tenant else None
        return credential


async def _read(
    connection: database.Connection,
    tenant: Tenant,
    hashes: list[bytes],
    stores: list[str],
    templates: list[TemplateRef],
) -> None:
    merchant = tenant.merchant
    if hashes:
        for row in await connection.fetch(SQL["tenant.credentials"], merchant.merchant_id, hashes):
            tenant.credentials[row["secret_hash"]] = Credential(
                merchant.merchant_id,
                row["api_key_id"],
                row["secret_hash"],
                frozenset(row["scopes"]),
                row["store_id"],
                row["expires_at"],
                merchant.epoch,
            )
    if stores:
        found = await database.many(
            connection, "tenant.stores", StoreTerms, merchant.merchant_id, stores
        )
        tenant.stores = dict.fromkeys(stores) | {store.store_id: store for store in found}
    if templates:
        ids, versions = [t[0] for t in templates], [t[1] for t in templates]
        tenant.templates = dict.fromkeys(templates)
        for row in await connection.fetch(
            SQL["tenant.templates"], merchant.merchant_id, ids, versions
        ):
            terms = _template(row["template_id"], row["version"], row["rules"])
            for ref in ((terms.template_id, terms.version), (terms.template_id, 0)):
                if ref in tenant.templates:
                    tenant.templates[ref] = terms


def _template(template_id: str, version: int, rules: str) -> TemplateTerms:
    parsed = msgspec.json.decode(rules, type=CardTemplateCreate)
    steps = tuple(Step(step.pay, step.bonus, step.bonus_validity) for step in parsed.top_up_rules)
    return TemplateTerms(template_id, version, parsed, frozenset(parsed.stores.ids), steps)
