"""The story of oneself: who one is, what one may, and another password."""

from schemas.sessions import Me, PasswordChange, SessionsEnded
from service.audit import operations as audit
from service.kernel.routes import Answer, Call, json_answer
from service.ledger.reading import configuring, reading
from service.sessions import operations as sessions
from service.users import store


async def read(call: Call, _: None) -> Answer:
    """Oneself, and what this session may do."""
    credential = call.credential
    async with reading(call) as tenant:
        user = await store.user(tenant, credential.actor_id)
    assert user is not None and credential.session_id is not None
    me = Me(
        user,
        credential.session_id,
        credential.second_factor,
        sorted(credential.scopes),
        sorted(credential.withheld),
    )
    return json_answer(200, me)


async def change_password(call: Call, body: PasswordChange) -> Answer:
    """Another password; all other sessions are over."""
    await sessions.require_all_factors(
        call, body.current_password, "$.current_password", body.one_time_code
    )
    passwords, credential = call.state.passwords, call.credential
    async with reading(call) as tenant:
        user = await store.user(tenant, credential.actor_id)
        merchant_name = await store.merchant_name(tenant)
    assert user is not None
    known = [body.current_password, user.masked_email.rpartition("@")[2], merchant_name]
    await sessions.require_strong(passwords, body.new_password, known, "$.new_password")
    password_hash = await passwords.hash(body.new_password)
    async with configuring(call, also_suspended=True) as tenant:
        connection, merchant_id = tenant.connection, tenant.merchant.merchant_id
        await store.set_password(connection, merchant_id, user.id, password_hash)
        await store.void_tickets(connection, merchant_id, user.id)
        ended = await sessions.end_every(connection, merchant_id, user.id, credential.session_id)
        await audit.record(call, tenant, "user.password_set", user.id)
    return json_answer(200, SessionsEnded(ended))
