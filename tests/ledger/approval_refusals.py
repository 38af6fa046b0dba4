"""What provokes the refusals about approvals, with a merchant to have them."""

from typing import Any

from schemas.approvals import AuthorityChange, AuthorityRule, Decision
from service.approvals import operations as approvals
from service.approvals.operations import Ask
from service.ledger.reading import KeptError, writing
from service.rules import authority
from tests.ledger.people_refusals import asked
from tests.ledger.rules.kit import Shop, shop
from tests.ledger.stored_refusals import How

ALWAYS = AuthorityRule("template.publish", ["checker"])
LIMITED = AuthorityRule("role.grant", ["owner"], amount_above=1, day_count_above=1)
NOTHING = Decision("0" * 64)


async def ruled(merchant: Shop, *rules: AuthorityRule) -> Any:
    """Somebody's request where there are rules, and another owner."""
    await asked(merchant)
    found = await asked(merchant)
    found.idempotency_key, found.scope = "", "approvals:decide"
    if rules:
        await approvals.change_authority(found, AuthorityChange(0, list(rules)))
    return found


async def waiting(merchant: Shop) -> Any:
    """A request that waits; its path names what it waits for."""
    found = await ruled(merchant, ALWAYS)
    try:
        async with writing(found) as tenant:
            await approvals.require(found, tenant, Ask("template.publish", {}))
    except KeptError as problem:
        found.path["approval_id"] = problem.reasons[0].existing_id
    return found


async def must_wait(merchant: Shop) -> Any:
    """What a rule is for."""
    found = await ruled(merchant, ALWAYS)
    async with writing(found) as tenant:
        await approvals.require(found, tenant, Ask("template.publish", {}))


async def of_oneself(merchant: Shop) -> Any:
    """Whoever asked says yes."""
    found = await waiting(merchant)
    return await approvals.approve(found, NOTHING)


async def by(merchant: Shop, role: str, *, times: int = 1) -> Any:
    """Somebody of a role says yes to another digest, or no and then yes."""
    opened = await waiting(merchant)
    found = await asked(merchant, role, approval_id=opened.path["approval_id"])
    found.scope = "approvals:decide"
    if times > 1:
        async with writing(found) as tenant:
            one = await approvals._one(tenant, found.path["approval_id"])
        assert one is not None
        await approvals.reject(found, Decision(one.digest))
        return await approvals.approve(found, Decision(one.digest))
    return await approvals.approve(found, NOTHING)


async def of_another_role(merchant: Shop) -> Any:
    """An auditor, who may look."""
    return await by(merchant, "finance")


async def something_else(merchant: Shop) -> Any:
    """Not what is asked for."""
    return await by(merchant, "checker")


async def once_more(merchant: Shop) -> Any:
    """It is over, and they have decided."""
    return await by(merchant, "checker", times=2)


async def alone(merchant: Shop) -> Any:
    """The only owner makes rules."""
    found = await asked(merchant)
    return await approvals.change_authority(found, AuthorityChange(0, [ALWAYS]))


async def unsound(merchant: Shop) -> Any:
    """Rules that contradict themselves."""
    found = await ruled(merchant)
    return await approvals.change_authority(found, AuthorityChange(0, [LIMITED]))


async def nowhere(merchant: Shop) -> Any:
    """About a store that isn't there."""
    found = await ruled(merchant, ALWAYS)
    async with writing(found) as tenant:
        ask = Ask("template.publish", {}, store_id="sto_" + "0" * 26)
        await approvals.require(found, tenant, ask)


async def late(merchant: Shop) -> Any:
    """Rules of another version."""
    found = await ruled(merchant)
    return await approvals.change_authority(found, AuthorityChange(7, []))


async def contradictory(_: Shop) -> Any:
    """Limits that don't fit, and the same twice."""
    return list(authority.unsound([LIMITED, LIMITED]))


A = "service.approvals.operations"


def fresh(how: How) -> How:
    """At a merchant that nobody else is refused anything at."""

    async def run(merchant: Shop) -> Any:
        async with shop(merchant.server) as own:
            return await how(own)

    return run


CASES: list[tuple[str, str, How]] = [
    (f"{A}._through", "approval_required approval_waits", fresh(must_wait)),
    (f"{A}._decide", "approval_refused own_request digest_other", fresh(of_oneself)),
    (f"{A}._who_not", "approval_refused own_request digest_other", fresh(of_oneself)),
    (f"{A}._who_not", "approval_refused role_lacking digest_other", fresh(of_another_role)),
    (f"{A}._why_not", "approval_refused digest_other", fresh(something_else)),
    (f"{A}._why_not", "approval_refused approval_over decided_already", fresh(once_more)),
    (f"{A}._open", "contradiction store_unknown", fresh(nowhere)),
    (f"{A}.change_authority", "authority_moved", fresh(late)),
    (f"{A}.change_authority", "contradiction nobody_could_approve", fresh(alone)),
    (f"{A}.change_authority", "contradiction one_limit limit_unfit", fresh(unsound)),
    ("service.rules.authority.unsound", "one_limit limit_unfit rule_repeated", contradictory),
]
