"""Two merchants with a tree of stores, people in every role, and something in every state."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field

from service.api_keys import operations as api_keys
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.sql import SQL
from service.ledger.door import Keys
from service.rules import accounts
from service.users import store as users
from tests.api import shop
from tests.authorization.matrix import KEYS, PLATFORM, ROLES, VISITORS
from tests.harness import approvals, holds, people, platform
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.people import Person
from tests.harness.tenant import Tenant, TestCard

CONTRACT = ["cards:read", "redemptions:read", "redemptions:write"]
NAMES = {
    "own": "owner", "tpl": "template_designer", "chk": "checker", "fin": "finance",
    "are": "area_manager", "sto": "store_manager", "csh": "cashier", "dev": "developer",
    "aud": "auditor", "fsm": "store_manager", "fcs": "cashier",
    "vad": "visiting_admin", "vrv": "visiting_reviewer", "vsr": "visiting_senior_reviewer",
    "vfi": "visiting_finance", "vcm": "visiting_compliance", "vsu": "visiting_support",
    "pad": "platform_admin", "prv": "platform_reviewer", "psr": "platform_senior_reviewer",
    "pfi": "platform_finance", "pcm": "platform_compliance", "psu": "platform_support",
}  # fmt: skip
OURS = ("own", "sibling", "other", "franchise")
DAYS = {"open": 0, "closed": 1}
ABSENT = "0" * 26
TILL = {"terminal_id": "T2"}


class Merchant(Struct):
    """What a merchant has: things by what they are, where, and in which state."""

    tenant: Tenant
    office: Client
    things: dict[tuple[str, ...], str] = field(default_factory=dict)
    cards: dict[str, TestCard] = field(default_factory=dict)


class World(Struct):
    """Two of them, and what each kind of caller of the first shows."""

    ours: Merchant
    theirs: Merchant
    shown: dict[str, str]
    weak: dict[str, str]
    people: dict[str, Person]
    pool: database.Pool
    keys: Keys
    platform_id: str
    client_of: Callable[..., Client]

    async def one_more(self, column: str, *, second_factor: bool) -> Person:
        """Another one of a column, whom nobody else asks as."""
        pool, keys, merchant_id = self.pool, self.keys, self.ours.tenant.merchant_id
        if column in VISITORS:
            begun = await platform.visiting(
                pool, keys, self.client_of, self.platform_id, merchant_id, NAMES[column]
            )
            return begun[1]
        where = self.platform_id if column in PLATFORM else merchant_id
        node = node_of(self.ours, column)
        return await people.hire(
            pool, keys, where, NAMES[column], node, second_factor=second_factor
        )

    def thing(self, kind: str, relation: str, state: str = "") -> str:
        """The id, key or code of something; of the other merchant's where it is foreign."""
        if relation == "absent":
            return absent(kind)
        if relation == "foreign":
            return self.theirs.things[kind, "own", state]
        return self.ours.things[kind, "own" if relation == "ours" else relation, state]


def absent(kind: str) -> str:
    """What names nothing."""
    heads = {
        "hold": "lgh",
        "card": "crd", "template": "tpl", "member": "mbr", "redemption": "rdm", "day": "sto",
        "store": "sto", "at": "sto", "last": "sto", "till": "sto", "sale": "sto",
        "node": "sto", "area": "are", "user": "usr",
        "session": "ses", "key": "key", "approval": "apv", "visit": "vis",
    }  # fmt: skip
    return f"{heads[kind]}_{ABSENT}" if kind in heads else shop.new_key()


async def build(
    app_dsn: str,
    keys: Keys,
    client_of: Callable[..., Client],
    pool: database.Pool,
    platform_id: str,
) -> World:
    """Everything that the table can be asked of."""
    ours = await _merchant(app_dsn, keys, client_of, pool)
    theirs = await _merchant(app_dsn, keys, client_of, pool)
    world = World(ours, theirs, {}, {}, {}, pool, keys, platform_id, client_of)
    for column in (*ROLES, *VISITORS, *PLATFORM):
        person = world.people[column] = await world.one_more(column, second_factor=True)
        world.shown[column] = person.token
    for column in (*ROLES, *PLATFORM):
        where = platform_id if column in PLATFORM else ours.tenant.merchant_id
        person = await people.sign_in(
            pool, where, world.people[column].user_id, second_factor=False
        )
        world.weak[column] = person.token
        if column == "chk":
            ours.things["session", "another's", ""] = person.session_id
    for key in KEYS:
        world.shown[key] = ours.things["token", key, ""]
    ours.things["session", "own", ""] = absent("session")  # each cell has one of its own
    somebody = await people.hire(pool, keys, theirs.tenant.merchant_id, "owner")
    theirs.things["session", "own", ""] = somebody.session_id
    for merchant in (ours, theirs):
        await _visits(world, merchant)
    return world


async def _visits(world: World, merchant: Merchant) -> None:
    """One that goes on, and one that the next one ended."""
    visitor = await people.hire(world.pool, world.keys, world.platform_id, "platform_support")
    merchant_id = merchant.tenant.merchant_id
    for state in ("over", "open"):
        begun = await platform.visit(world.client_of, visitor, merchant_id, "visiting_support")
        merchant.things["visit", "own", state] = begun[0]


def node_of(merchant: Merchant, role: str) -> str | None:
    """Where somebody of the table has their role; None: in the whole merchant."""
    places = {"are": "east", "sto": "own", "csh": "own", "fsm": "franchise", "fcs": "franchise"}
    return merchant.things["node", places[role], ""] if role in places else None


async def _merchant(
    app_dsn: str, keys: Keys, client_of: Callable[..., Client], pool: database.Pool
) -> Merchant:
    tenant = await tenants.make(app_dsn, client_of)
    merchant = Merchant(tenant, client_of(tenant.merchant_key))
    await _tree(merchant)
    await _keys(pool, merchant)
    await _cards(merchant)
    for where in OURS:
        await _redemptions(merchant, where)
        await _days(merchant, where)
        await _users(pool, keys, merchant, where)
        await _approvals(pool, merchant, where)
    await _members(merchant)
    await _holds(pool, merchant)
    merchant.things["template", "own", "published"] = tenant.template_id
    return merchant


async def _done(office: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await office.post(path, body, shop.new_key())
    assert answer.status in (200, 201), answer.body
    found: dict[str, Any] = answer.json()
    return found


async def _tree(merchant: Merchant) -> None:
    office, things = merchant.office, merchant.things
    for name, parent in (("east", None), ("west", None), ("inner", "east")):
        inside = things["node", parent, ""] if parent else None
        area = await _done(office, "/v1/areas", {"name": name, "parent_id": inside})
        things["node", name, ""] = area["id"]
    things["area", "own", "at the top"] = things["node", "west", ""]
    things["area", "own", "inside"] = things["node", "inner", ""]
    for where, parent in zip(OURS, ("east", "inner", "west", "west"), strict=True):
        body: dict[str, Any] = {"code": where, "name": where, "legal_entity": where}
        body |= {"parent_id": things["node", parent, ""]}
        if where == "franchise":
            body |= {"contract": CONTRACT}
        store_id = (await _done(office, "/v1/stores", body))["id"]
        for kind, state in (("node", ""), ("at", ""), ("store", "active")):
            things[kind, where, state] = store_id


async def _keys(pool: database.Pool, merchant: Merchant) -> None:
    merchant_id, things = merchant.tenant.merchant_id, merchant.things
    for name, where in (("till", "own"), ("ftil", "franchise")):
        store_id = things["node", where, ""]
        made = await api_keys.create(pool, merchant_id, name, "pos", store_id)
        things["token", name, ""] = made.token
    things["token", "mkey", ""] = merchant.tenant.merchant_key
    for state in ("active", "revoked"):
        made = await api_keys.create(pool, merchant_id, state, "merchant", None)
        things["key", "own", state] = made.api_key_id
    await api_keys.revoke(pool, merchant_id, things["key", "own", "revoked"])


async def _cards(merchant: Merchant) -> None:
    office, tenant, things = merchant.office, merchant.tenant, merchant.things
    for state in ("created", "active", "frozen"):
        card = merchant.cards[state] = await card_in(office, tenant, state)
        things["card", "own", state] = card.card_id


async def card_in(office: Client, tenant: Tenant, state: str) -> TestCard:
    """A card in a state."""
    card = await shop.issue(office, tenant, activate=state != "created")
    if state == "active":
        store_id = tenant.store_ids[0]
        assert (await shop.top_up(office, card, 50_000_000, store_id=store_id)).status == 201
    if state == "frozen":
        await _done(office, f"/v1/cards/{card.card_id}/freeze", {})
    return card


async def _redemptions(merchant: Merchant, where: str) -> None:
    """One in each state, made by the merchant's own key."""
    office, things = merchant.office, merchant.things
    card, store_id = merchant.cards["active"], things["node", where, ""]
    for state in ("partly refunded", "refunded", "voided"):
        key = shop.new_key()
        sale = await shop.sold(office, card, 1_000, store_id=store_id, key=key, till=TILL)
        if state == "voided":
            await _done(office, f"/v1/redemptions/{sale}/void", {})
        else:
            amount = shop.yuan(1_000 if state == "refunded" else 100)
            await _done(office, f"/v1/redemptions/{sale}/refunds", {"amount": amount})
        things["redemption", where, state] = sale
        things["request", where, state] = key
    key = shop.new_key()
    dear = await shop.redeem(office, card, 10**12, store_id=store_id, key=key)
    assert dear.status == 409, dear.body
    things["request", where, "refused"] = key


async def _days(merchant: Merchant, where: str) -> None:
    office, store_id = merchant.office, merchant.things["node", where, ""]
    for state, ago in DAYS.items():
        day = (datetime.now(UTC) - timedelta(days=2 * ago)).date().isoformat()
        merchant.things["date", "", state] = day
        merchant.things["day", where, state] = store_id
        if state == "closed":
            await _done(office, f"/v1/stores/{store_id}/days/{day}/close", {"change_no": 0})


async def _users(pool: database.Pool, keys: Keys, merchant: Merchant, where: str) -> None:
    """A cashier in each state."""
    merchant_id, things = merchant.tenant.merchant_id, merchant.things
    for state in ("invited", "active", "disabled"):
        user_id, email = new_id("usr"), f"{where}-{state}@{people.DOMAIN}"
        index = accounts.email_index(keys.email, merchant_id, email)
        async with database.tenant(pool, merchant_id) as connection:
            await users.insert(connection, merchant_id, user_id, index, "x")
            if state != "invited":
                await users.set_password(connection, merchant_id, user_id, people.PASSWORD_HASH)
            await users.give(
                connection,
                merchant_id,
                new_id("grt"),
                user_id,
                "cashier",
                things["node", where, ""],
                "operator",
            )
            if state == "disabled":
                await connection.execute(
                    "update user_account set status = 'disabled' where merchant_id = $1"
                    " and user_id = $2",
                    merchant_id,
                    user_id,
                )
        things["user", where, state] = user_id


async def _approvals(pool: database.Pool, merchant: Merchant, where: str) -> None:
    """Of somebody who isn't there any more."""
    merchant_id, store_id = merchant.tenant.merchant_id, merchant.things["node", where, ""]
    for state in ("open", "rejected"):
        approval_id, _ = await approvals.waiting(pool, merchant_id, store_id)
        if state != "open":
            async with database.tenant(pool, merchant_id) as connection:
                await connection.execute(SQL["approvals.close"], merchant_id, approval_id, state)
        merchant.things["approval", where, state] = approval_id


async def _holds(pool: database.Pool, merchant: Merchant) -> None:
    """Of the member without a card."""
    merchant_id, things = merchant.tenant.merchant_id, merchant.things
    member_id = things["member", "own", "without"]
    for state in ("placed", "released"):
        things["hold", "own", state] = await holds.placed(pool, merchant_id, member_id)
    hold_id = things["hold", "own", "released"]
    async with database.tenant(pool, merchant_id) as connection:
        now = await connection.fetchval("select clock_timestamp()")
        await connection.execute(
            SQL["personal.release_hold"], merchant_id, member_id, hold_id, "operator", now
        )


async def _members(merchant: Merchant) -> None:
    """One who has a card, and one who had one; each had another, too."""
    office, tenant, things = merchant.office, merchant.tenant, merchant.things
    for state in ("without", "with a card"):
        member_id = await shop.member(office, external_id=state.replace(" ", "-"))
        things["member", "own", state] = member_id
        card = await shop.issue(office, tenant)
        assert (await shop.bind(office, member_id, card)).status == 201
        things["bound", "own", state] = card.card_id
        path = f"/v1/members/{member_id}/cards/{card.card_id}/unbind"
        await _done(office, path, {"binding_no": 1})
    another = await shop.issue(office, tenant)
    assert (await shop.bind(office, things["member", "own", "with a card"], another)).status == 201
    things["another", "own", ""] = another.card_id
