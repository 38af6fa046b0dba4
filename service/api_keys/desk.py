"""The story of an API key: made by people with what they may themselves, exchanged, ended."""

from datetime import timedelta

import asyncpg

from schemas.api_keys import ApiKey, ApiKeyCreate, ApiKeyList, ApiKeyMade, ApiKeyRotate
from schemas.common import Id
from schemas.problems import Reason
from service.api_keys import store
from service.approvals import operations as approvals
from service.approvals.operations import Ask
from service.audit import operations as audit
from service.kernel import tokens
from service.kernel.address import is_network
from service.kernel.ids import new_id
from service.kernel.paging import decode_cursor
from service.kernel.paging import page as page_of
from service.kernel.permissions import PERMISSIONS, may_have
from service.kernel.problems import NOT_FOUND, ProblemError, because, define, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger.reading import Reading, configuring, reading
from service.ledger.reasons import STORE_UNKNOWN, UNPROCESSABLE

AFTER_ALL = "key_~"  # sorts after every id
LONGEST = timedelta(days=36_500)

KEY_OVER = define(
    "api_key_over",
    409,
    "This key is over",
    "It was revoked, or it has expired. Make a new one.",
)
SCOPE_UNKNOWN = define_reason(
    "scope_unknown", "Keys can't have it; `allowed` names what they can have."
)
SCOPE_BEYOND = define_reason("scope_beyond", "You may not do this yourself, so your keys may not.")
NETWORK_INVALID = define_reason(
    "network_invalid", "Give a network as 203.0.113.0/24, or an address, of IPv4 or IPv6."
)
KEY_ROTATED = define_reason(
    "api_key_rotated",
    "It was exchanged for the key in existing_id. If that one's text is lost, revoke it and make "
    "another.",
)
EXPIRY_PAST = define_reason(
    "expiry_past", "Give an instant that is to come, within a hundred years."
)


async def make(call: Call, body: ApiKeyCreate) -> Answer:
    """A new key, whose text is in this answer only."""
    async with configuring(call) as tenant:
        reasons = _contradictions(call, tenant, body)
        if reasons:
            raise ProblemError(UNPROCESSABLE, reasons=reasons)
        await approvals.require(call, tenant, Ask("api_key.create", body, store_id=body.store_id))
        made = await _make(call, tenant, body)
        await audit.record(call, tenant, "api_key.created", made.key.id, after=body)
    return json_answer(201, made)


async def browse(call: Call, _: None) -> Answer:
    """Keys, newest first."""
    limit, before = call.query.limit, decode_cursor(call.query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        found = await store.page(tenant, before, limit + 1)
    return json_answer(200, ApiKeyList(*page_of(found, limit, lambda key: key.id)))


async def rotate(call: Call, body: ApiKeyRotate) -> Answer:
    """Another key that may do the same; the old one is over soon."""
    async with configuring(call) as tenant:
        old = await _named(call, tenant)
        if reasons := _beyond(call, tenant, old.scopes, old.store_id):
            raise ProblemError(UNPROCESSABLE, reasons=reasons)
        if old.rotated_to is not None:
            reason = because(KEY_ROTATED, existing_id=old.rotated_to)
            raise ProblemError(KEY_OVER, reasons=[reason])
        await approvals.require(
            call, tenant, Ask("api_key.create", body, old.id, store_id=old.store_id)
        )
        again = ApiKeyCreate(
            old.name, old.scopes, old.store_id, old.expires_at, old.networks, old.signed
        )
        made = await _make(call, tenant, again)
        if not await store.shorten(tenant, old.id, body.overlap_s, made.key.id):
            raise ProblemError(KEY_OVER)
        after = {"id": made.key.id, "overlap_s": body.overlap_s}
        await audit.record(call, tenant, "api_key.rotated", old.id, after=after)
    return json_answer(201, made)


async def end(call: Call, _: None) -> Answer:
    """Nothing sent with it after this answer is accepted."""
    async with configuring(call) as tenant:
        old = await _named(call, tenant)
        if await store.revoke(tenant.connection, tenant.merchant.merchant_id, old.id):
            await audit.record(call, tenant, "api_key.revoked", old.id)
        ended = await _named(call, tenant)
    return json_answer(200, ended)


def _contradictions(call: Call, tenant: Reading, body: ApiKeyCreate) -> list[Reason]:
    """What can't be, all at once."""
    allowed = may_have("keys")
    unknown = [
        because(SCOPE_UNKNOWN, path=f"$.scopes[{place}]", allowed=allowed)
        for place, scope in enumerate(body.scopes)
        if scope not in allowed
    ]
    networks = [
        because(NETWORK_INVALID, path=f"$.networks[{place}]")
        for place, text in enumerate(body.networks or ())
        if not is_network(text)
    ]
    soon, late = tenant.merchant.clock, tenant.merchant.clock + LONGEST
    past = body.expires_at is not None and not soon < body.expires_at < late
    expiry = [because(EXPIRY_PAST, path="$.expires_at")] if past else []
    beyond = [] if unknown else _beyond(call, tenant, body.scopes, body.store_id)
    return unknown + beyond + networks + expiry


def _beyond(call: Call, tenant: Reading, scopes: list[str], store_id: str | None) -> list[Reason]:
    """What a key would be allowed that whoever makes it isn't; in a test tenant that is nothing."""
    if tenant.merchant.mode == "test":
        return []
    return [
        because(SCOPE_BEYOND, path=f"$.scopes[{place}]")
        for place, scope in enumerate(scopes)
        if not call.credential.acts_for(_needed(scope), store_id)
    ]


def _needed(scope: str) -> str:
    """What a person must be allowed whose key is to have this: tokens of members show members."""
    return scope if "people" in PERMISSIONS[scope].of else "members:read"


async def _make(call: Call, tenant: Reading, body: ApiKeyCreate) -> ApiKeyMade:
    merchant, api_key_id = tenant.merchant, new_id("key")
    text = tokens.new_token(merchant.merchant_id, merchant.mode)
    try:
        await store.insert(
            tenant.connection,
            merchant.merchant_id,
            api_key_id,
            body.name,
            tokens.hash_of(text),
            sorted(set(body.scopes)),
            body.store_id,
            body.expires_at,
            body.networks,
            call.credential.actor_id,
            body.signed,
        )
    except asyncpg.ForeignKeyViolationError:
        reason = because(STORE_UNKNOWN, path="$.store_id")
        raise ProblemError(UNPROCESSABLE, reasons=[reason]) from None
    [made] = await store.page(tenant, AFTER_ALL, 1, api_key_id)
    if not made.signed:
        return ApiKeyMade(made, text, None)
    return ApiKeyMade(made, text, call.state.signatures.secret_of(merchant.merchant_id, made.id))


async def _named(call: Call, tenant: Reading) -> ApiKey:
    """The key of the path. Raises 404."""
    found = await store.page(tenant, AFTER_ALL, 1, object_id(call, "api_key_id", "key"))
    if not found:
        raise ProblemError(NOT_FOUND)
    return found[0]
