"""The demo merchant of a first start: a test tenant that is ready for a first redemption.

It has a store, two keys, a template and a card with money on it. Test mode only. The keys lie in
data_dir, readable by their owner alone; later starts say where.
"""

import asyncio
import os
import secrets
from datetime import time
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from schemas.common import EXAMPLE_NUMBER
from schemas.templates import CardTemplateCreate, Numbering, TopUpStep
from service.api_keys import operations as api_keys
from service.areas import store as areas
from service.kernel import database, tokens
from service.kernel.ids import example_id, new_id
from service.ledger.batch import Settled
from service.ledger.commands import Command, Intent, Issue, Redeem, TopUp
from service.ledger.door import Keys
from service.ledger.reading import Reading
from service.ledger.terms import Terms
from service.ledger.writer import Writer
from service.members import store as members
from service.members.store import Known
from service.merchants import operations as merchants
from service.personal.operations import SealedFields
from service.rules.luhn import new_number
from service.settings import Settings
from service.stores import operations as stores
from service.templates import store as templates
from service.users import operations as users

RULES = CardTemplateCreate(
    name="金卡",
    currency="CNY",
    holder="named",
    numbering=Numbering("8800", 16),
    max_balance=500_000,
    drawdown_policy="pro_rata",
    top_up_rules=[TopUpStep(30_000, 5_000, "P1Y"), TopUpStep(100_000, 20_000, "P1Y")],
)

GIFT = structs.replace(RULES, name="礼品卡", holder="anonymous", top_up_rules=[])
FACTS = "demo.json"
OWNER = "owner@demo.example"


class DemoTenant(Struct):
    """What a newcomer needs to try everything; the keys are in files of their own.

    `dormant_card_id` can be activated, `sale_id` refunded, `mistaken_sale_id` voided on its day,
    `gift_card_id` unbound from the member.
    """

    merchant_id: str
    store_id: str
    template_id: str
    card_id: str
    card_number: str
    dormant_card_id: str = ""
    sale_id: str = ""
    mistaken_sale_id: str = ""
    member_id: str = ""
    gift_card_id: str = ""
    area_id: str = ""

    def placed_into(self, contract: str) -> str:
        """The contract with examples that name this tenant's things instead of invented ones."""
        for invented, own in (
            (example_id("sto"), self.store_id),
            (example_id("tpl"), self.template_id),
            (example_id("crd"), self.card_id),
            (example_id("crd", 1), self.dormant_card_id),
            (example_id("crd", 2), self.gift_card_id),
            (example_id("mbr"), self.member_id),
            (example_id("are"), self.area_id),
            (example_id("rdm"), self.sale_id),
            (example_id("rdm", 1), self.mistaken_sale_id),
            (EXAMPLE_NUMBER, self.card_number),
        ):
            contract = contract.replace(invented, own or invented)
        return contract


def read(data_dir: str) -> DemoTenant | None:
    """The demo tenant of a data folder; None when there is none."""
    file = Path(data_dir) / FACTS
    return msgspec.json.decode(file.read_bytes(), type=DemoTenant) if file.exists() else None


def serving(settings: Settings) -> str:
    """Where it serves, in one line."""
    base = settings.base_url
    return f"Kafang serves {base}   (documentation: {base}/docs)"


def welcome(settings: Settings) -> str:
    """Make the demo tenant on a first start, and say what to do next."""
    folder = Path(settings.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FACTS
    demo = read(settings.data_dir)
    if demo is None:
        demo, pos_key, merchant_key, invitation = asyncio.run(_make(settings))
        _keep(folder / "demo_owner_invitation", invitation)
        _keep(folder / "demo_pos_key", pos_key)
        _keep(folder / "demo_merchant_key", merchant_key)
        _keep(file, msgspec.json.encode(demo).decode("utf-8"))
    base = settings.base_url
    till_key = folder / "demo_pos_key"
    return "\n".join(
        (
            serving(settings),
            f"Demo merchant {demo.merchant_id}, test mode. Test keys: {till_key} (till), "
            f"{folder / 'demo_merchant_key'} (merchant). Facts: {file}",
            f"Its owner signs in as {OWNER}, with a password that the invitation in "
            f"{folder / 'demo_owner_invitation'} sets once: {base}/docs/people",
            "Redeem 88.00 yuan from the demo card; with the same KEY it is redeemed once:",
            "",
            "  KEY=first-$(date +%s%N)",
            f'  curl -sS {base}/v1/redemptions -H "Authorization: Bearer $(cat {till_key})" \\',
            "    -H 'Content-Type: application/json' \\",
            '    -H "Idempotency-Key: $KEY" \\',
            '    -d \'{"request_no":"\'$KEY\'",'
            '"amount":{"value":8800,"currency":"CNY"},'
            f'"sources":[{{"card_number":"{demo.card_number}"}}]}}\'',
            "",
        )
    )


async def _make(settings: Settings) -> tuple[DemoTenant, str, str, str]:
    pool = await database.open_pool(settings.database_url, 2)
    terms = Terms(pool)

    async def connect() -> database.Connection:
        return await database.connect_writer(
            settings.database_url, allow_unsafe=settings.allow_unsafe_durability
        )

    writer = Writer(
        connect,
        terms,
        Keys.of(settings.secret()).quote,
        lanes=1,
        batch_max=1,
        queue_max=10,
        patience_s=5.0,
    )
    try:
        merchant = await merchants.create(pool, "星河美发 (demo)", "test", "CNY", "Asia/Shanghai")
        store = await stores.create(
            pool,
            merchant.merchant_id,
            "人民广场店",
            "星河美发管理有限公司",
            "Asia/Shanghai",
            time(4),
        )
        pos = await api_keys.create(pool, merchant.merchant_id, "demo till", "pos", store.store_id)
        office = await api_keys.create(
            pool, merchant.merchant_id, "demo mini-program", "merchant", None
        )
        gifts, template = [
            await _publish(pool, merchant.merchant_id, rules) for rules in (GIFT, RULES)
        ]
        number, dormant, spent, gift = (new_number("8800", 16, secrets.randbelow) for _ in range(4))

        async def made(intent: Intent, scope: str, card: str) -> str:
            return await _perform(terms, writer, office.token, intent, scope, card, store.store_id)

        async def issued(card: str, *, active: bool, template_id: str = template) -> str:
            return await made(Issue(template_id, new_id("crd"), card, active), "cards:write", card)

        card_id = await issued(number, active=True)
        await made(TopUp(300_000, "CNY", "cash", None), "top_ups:write", number)
        dormant_id = await issued(dormant, active=False)
        await issued(spent, active=True)
        await made(TopUp(20_000, "CNY", "cash", None), "top_ups:write", spent)
        gift_id = await issued(gift, active=True, template_id=gifts)
        demo = DemoTenant(
            merchant_id=merchant.merchant_id,
            store_id=store.store_id,
            template_id=template,
            card_id=card_id,
            card_number=number,
            dormant_card_id=dormant_id,
            sale_id=await made(_sale("demo-1"), "redemptions:write", spent),
            mistaken_sale_id=await made(_sale("demo-2"), "redemptions:write", spent),
            member_id=await _member(pool, terms, merchant.merchant_id, gift_id, office.api_key_id),
            gift_card_id=gift_id,
            area_id=await _area(pool, terms, merchant.merchant_id),
        )
        owner = await users.create_owner(
            pool, Keys.of(settings.secret()).email, merchant.merchant_id, OWNER
        )
        return demo, pos.token, office.token, owner.token
    finally:
        await writer.close()
        await pool.close()


async def _publish(pool: database.Pool, merchant_id: str, rules: CardTemplateCreate) -> str:
    """A template's id."""
    async with database.tenant(pool, merchant_id) as connection:
        return (await templates.publish(connection, merchant_id, rules)).id


async def _member(
    pool: database.Pool, terms: Terms, merchant_id: str, card_id: str, api_key_id: str
) -> str:
    """The id of a member who has this card."""
    tenant = await terms.load(merchant_id)
    assert tenant is not None
    async with database.tenant(pool, merchant_id) as connection:
        seen = Reading(connection, tenant.merchant)
        known = Known("demo-member", None, None, None)
        member = await members.insert(seen, new_id("mbr"), known, SealedFields())
        assert member is not None
        assert await members.bind(seen, member.id, card_id, api_key_id)
    return member.id


async def _area(pool: database.Pool, terms: Terms, merchant_id: str) -> str:
    """The id of an area."""
    tenant, area_id = await terms.load(merchant_id), new_id("are")
    assert tenant is not None
    async with database.tenant(pool, merchant_id) as connection:
        seen = Reading(connection, tenant.merchant)
        await areas.insert(seen, area_id, "华北")
        await areas.place(seen, new_id("plc"), area_id, None)
    return area_id


async def _perform(
    terms: Terms, writer: Writer, key: str, intent: Intent, scope: str, number: str, store_id: str
) -> str:
    """Send an intent through the writer; the id in its answer."""
    token = tokens.parse(key)
    assert token is not None
    credential = await terms.credential(token.merchant_id, token.secret_hash)
    assert credential is not None
    settled = await writer.submit(
        Command(
            intent,
            credential,
            scope,
            number,
            store_id,
            None,
            secrets.token_bytes(16),
            secrets.token_bytes(16),
            new_id("req"),
        )
    )
    if not isinstance(settled, Settled) or settled.status != 201:
        raise RuntimeError(f"the demo tenant could not be made: {settled}")
    return str(msgspec.json.decode(settled.body)["id"])


def _sale(request_no: str) -> Redeem:
    return Redeem(request_no, 8_800, "CNY", [], True, None, None)


def _keep(file: Path, text: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as stream:
        stream.write(text)
