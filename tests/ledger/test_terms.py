"""What a worker remembers of a merchant's configuration."""

from service.kernel import embedded
from service.ledger.terms import Terms
from tests.ledger.rules import kit
from tests.ledger.rules.kit import shop

SECOND_VERSION = """
insert into template_version (merchant_id, template_id, version, status, rules, published_at)
select merchant_id, template_id, 2, status, jsonb_set(rules, '{name}', '"新卡"'), published_at
from template_version where merchant_id = $1"""


async def test_the_latest_version_is_not_the_one_that_is_named_beside_it(
    database: embedded.Server,
) -> None:
    """A batch may redeem a card of the first version and issue one of the second."""
    async with shop(database) as merchant, kit.lines(kit.admin(database)) as (admin,):
        await admin.execute(SECOND_VERSION, merchant.merchant_id)
        name = merchant.template_id
        refs = [(name, 0), (name, 1), (name, 3), ("tpl_0", 0)]
        tenant = await Terms(merchant.pool).load(merchant.merchant_id, templates=refs)
        assert tenant is not None
        found = {ref: terms.version if terms else None for ref, terms in tenant.templates.items()}
        assert found == {(name, 0): 2, (name, 1): 1, (name, 3): None, ("tpl_0", 0): None}


async def test_what_was_looked_up_and_not_found_is_remembered(database: embedded.Server) -> None:
    async with shop(database) as merchant:
        terms = Terms(merchant.pool)
        assert await terms.load("mer_0", stores=["sto_0"]) is None
        secret_hash = merchant.credential.secret_hash
        stores = [merchant.store_id, "sto_0"]
        tenant = await terms.load(merchant.merchant_id, [secret_hash, b"x"], stores)
        assert tenant is not None
        assert not tenant.lacks([secret_hash], stores, [])
        assert tenant.lacks([b"x"], [], []), "an unknown key costs no memory"
        assert tenant.credentials[secret_hash].api_key_id == merchant.credential.api_key_id
        assert tenant.stores["sto_0"] is None
        assert terms.known(merchant.merchant_id, tenant.merchant.epoch) is tenant
