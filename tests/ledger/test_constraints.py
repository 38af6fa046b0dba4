"""Every constraint refuses its bad row, every policy hides and refuses another tenant's.

`tests/catalogue/refusals.toml` lists them and what is bad. Each runs twice in a transaction that is
rolled back: as it is, and with the guard taken out, where the same statement must pass.
INV-D13, INV-D18. THREAT-T13.
"""

import json
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.sql import SQL
from tests.ledger import history, scratch
from tests.ledger.ledger_fixture import ledger

CATALOGUE = tomllib.loads(
    (Path(__file__).parents[1] / "catalogue" / "refusals.toml").read_text("utf-8")
)
CONSTRAINTS: dict[str, dict[str, Any]] = CATALOGUE["constraints"]
POLICIES: list[str] = CATALOGUE["policies"]["tables"]
# A sound row to make a bad one of, where not any will do.
WHERE = {
    "policy": "node_id = merchant_id",
    "card": "status = 'active' and expires_at is null",
    "lot": "expires_at is not null and remaining > 0",
    "operation": "kind = 'top_up' and status = 'accepted'",
    "posting": "from_account = 'tender'",
    "redemption": "status = 'captured'",
    "idempotency_key": "outcome = 'accepted'",
    "card_binding": "unbound_at is not null",
    "placement": "store_id is not null",
}
# Values nobody has yet, for the columns of the keys that are not under test.
FRESH: dict[str, Any] = {
    "api_key_id": "key_new",
    "secret_hash": "\\x" + "ab" * 32,
    "store_id": "sto_new",
    "template_id": "tpl_new",
    "card_id": "crd_new",
    "card_number": "99999999",
    "lot_id": "lot_new",
    "operation_id": "opn_new",
    "posting_no": 99,
    "version": 99,
    "redemption_id": "rdm_new",
    "request_no": "new",
    "key_hash": "\\x" + "ab" * 16,
    "external_id": "new",
    "phone_index": "\\x" + "ab" * 32,
    "member_id": "mbr_new",
    "binding_no": 99,
    "merchant_id": "mer_new",
    "name": "new",
    "audit_entry_id": "aud_new",
    "post_no": 99_999,
    "area_id": "are_new",
    "placement_id": "plc_new",
    "code": "new",
    "user_id": "usr_new",
    "email_index": "\\x" + "ab" * 32,
    "grant_id": "grt_new",
    "session_id": "ses_new",
    "subject": "\\x" + "ab" * 32,
    "segment_no": 99,
    "approval_id": "apv_new",
    "legal_hold_id": "lgh_new",
    "visit_id": "vis_new",
    "responsible_id": "usr_new",
    "digest": "\\x" + "cd" * 32,
    "employee": "usr_new",
    "last_seq": 99_999,
}
A_MEMBERS_CARD = """
insert into member (merchant_id, member_id, external_id, phone_index, masked_phone, created_at)
select merchant_id, 'mbr_1', 'wx-1', sha256('1'), '138****8000', clock_timestamp() from merchant;
insert into card_binding
  (merchant_id, card_id, binding_no, member_id, bound_version, bound_at, bound_by, unbound_at,
   unbound_by)
select merchant_id, min(card_id), number, 'mbr_1', 1, '2026-03-01', 'key_1',
  case number when 1 then timestamptz '2026-03-02' end, case number when 1 then 'key_1' end
from card, generate_series(1, 2) number
group by merchant_id, number;
insert into legal_hold (merchant_id, legal_hold_id, member_id, reason, placed_by, placed_at)
select merchant_id, 'lgh_1', 'mbr_1', 'x', 'usr_1', now() from merchant
"""
A_CLOSED_DAY = """
insert into day_change
  (merchant_id, store_id, business_date, change_no, action, changed_at, api_key_id, totals)
select merchant_id, store_id, '2026-03-01', 1, 'close', clock_timestamp(), 'key_1', '[]' from store
"""
SOMETHING_TO_NUMBER = """
insert into unsequenced (merchant_id, operations)
select merchant_id, array[min(operation_id)] from operation group by merchant_id
"""
A_TREE_WITH_SOMEBODY_IN_IT = """
insert into area (merchant_id, area_id, name, created_at)
select merchant_id, 'are_' || n, n::text, clock_timestamp() from merchant, generate_series(1, 2) n;
insert into placement (merchant_id, placement_id, store_id, parent_id, since)
select merchant_id, 'plc_1', min(store_id), 'are_1', now() from store group by merchant_id;
insert into placement (merchant_id, placement_id, area_id, parent_id, since)
select merchant_id, 'plc_2', 'are_2', 'are_1', now() from merchant;
update store set code = store_id;
insert into user_account
  (merchant_id, user_id, email_index, masked_email, status, password_hash, totp_sealed, created_at)
select merchant_id, 'usr_1', sha256('1'), 'a***@b', 'active', 'x', 'x', now() from merchant;
insert into role_grant (merchant_id, grant_id, user_id, role, area_id, granted_at, granted_by)
select merchant_id, 'grt_1', 'usr_1', 'area_manager', 'are_1', now(), 'x' from merchant;
insert into user_session
  (merchant_id, session_id, user_id, secret_hash, second_factor, created_at, last_used_at,
   expires_at)
select merchant_id, 'ses_1', 'usr_1', sha256('1'), true, now(), now(), now() from merchant;
insert into user_ticket (merchant_id, secret_hash, user_id, kind, created_at)
select merchant_id, sha256('1'), 'usr_1', 'reset', now() from merchant;
insert into sign_in_guard (merchant_id, subject, failures, failed_at, blocked_until)
select merchant_id, sha256('1'), 1, now(), now() from merchant;
insert into used_nonce (merchant_id, nonce_hash, used_at)
select merchant_id, substr(sha256('1'), 1, 16), now() from merchant
"""
RULES_OF_PLACES = """
insert into policy (merchant_id, node_id, area_id, version, rules, made_by, made_at)
select merchant_id, coalesce(area_id, merchant_id), area_id, 1, '{}', 'usr_1', now()
from merchant, (values ('are_1'), (null)) v (area_id)
"""
SOMETHING_THAT_WAITS = """
insert into user_account
  (merchant_id, user_id, email_index, masked_email, status, password_hash, totp_sealed, created_at)
select merchant_id, 'usr_2', sha256('2'), 'b***@b', 'active', 'x', 'x', now() from merchant;
insert into authority (merchant_id, version, rules, made_by, made_at)
select merchant_id, 1, '[]', 'usr_1', now() from merchant;
insert into approval
  (merchant_id, approval_id, kind, status, responsible_id, actor_kind, actor_id, request, digest,
   approvers, roles, opened_at, expires_at)
select merchant_id, 'apv_1', 'refund', 'open', 'usr_2', 'user', 'usr_2', '{}', sha256('1'),
  1, '{owner}', now(), now()
from merchant;
insert into approval_decision
  (merchant_id, approval_id, user_id, responsible_id, session_id, approved, decided_at)
select merchant_id, 'apv_1', 'usr_1', 'usr_2', 'ses_1', true, now() from merchant;
insert into employee_use
  (merchant_id, employee, kind, business_date, key_hash, amount, used_at)
select merchant_id, 'usr_1', 'refund', '2026-03-01', substr(sha256('1'), 1, 16), 1, now()
from merchant
"""
A_VISIT = """
insert into platform (platform_id) select min(merchant_id) from merchant;
insert into visit
  (merchant_id, visit_id, platform_id, host_id, user_id, session_id, role, reason, masked_email,
   began_at, ends_at)
select merchant_id, 'vis_1', 'mer_1', merchant_id, 'usr_1', 'ses_1', 'visiting_support', 'x', 'a',
  now(), now()
from merchant
"""
SEQS = {"first_seq", "last_seq", "entries"}
# Only functions of the owner's write these.
OWNERS = {"audit_entry", "chain_head", "segment"}
# Who sees all tenants' rows of these, and what it is for: the owner lists the merchants, and tells
# which of them have something to number and to anchor.
LISTED = ("merchant", "unsequenced", "chain_head")
LIST_CONSTRAINTS = """
select c.conrelid::regclass::text as table, c.conname as name, c.contype::text as type,
  coalesce((select array_agg(a.attname::text order by k.position)
    from unnest(c.conkey) with ordinality k (number, position)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number), '{}') as columns
from pg_constraint c
where c.connamespace = 'public'::regnamespace and c.conrelid <> 0
  and c.contype in ('c', 'f', 'p', 'u', 'x')
union all
select i.indrelid::regclass::text, i.indexrelid::regclass::text, 'i',
  (select array_agg(a.attname::text order by k.position)
    from unnest(i.indkey) with ordinality k (number, position)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
from pg_index i join pg_class t on t.oid = i.indrelid
where i.indisunique and t.relnamespace = 'public'::regnamespace
  and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
"""


@pytest.fixture(scope="module")
async def filled(original: embedded.Server) -> AsyncIterator[embedded.Server]:
    """A database in which two merchants have done everything."""
    async with scratch.clone(original) as cloned:
        for _ in range(2):
            async with ledger(cloned) as one:
                await history.write(one)
        owner = await asyncpg.connect(cloned.owner_dsn)
        await owner.execute("insert into installation (secret_check) values ('check')")
        await owner.close()
        admin = await asyncpg.connect(cloned.admin_dsn)
        await admin.execute(A_CLOSED_DAY)
        await admin.execute(A_MEMBERS_CARD)
        await admin.execute(A_TREE_WITH_SOMEBODY_IN_IT)
        await admin.execute(RULES_OF_PLACES)
        await admin.execute(SOMETHING_THAT_WAITS)
        await admin.execute(A_VISIT)
        merchant_ids = [row[0] for row in await admin.fetch("select merchant_id from merchant")]
        await admin.fetchval(SQL["chain.sequence"], merchant_ids)
        await admin.execute(SOMETHING_TO_NUMBER)
        await admin.close()
        yield cloned


@pytest.fixture(name="line")
async def _line(filled: embedded.Server) -> AsyncIterator[Any]:
    """A superuser in a transaction that is rolled back; `as_app` takes its rights away."""
    connection = await asyncpg.connect(filled.admin_dsn)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def as_app(line: Any, merchant_id: str) -> None:
    """From here on: the application's rights, as this tenant."""
    await line.execute("set local role kafang_app")
    await line.execute("select set_config('kafang.merchant_id', $1, true)", merchant_id)


async def as_writer(line: Any, table: str, merchant_id: str) -> None:
    """From here on: the rights of whoever writes a table, as this tenant."""
    await as_app(line, merchant_id)
    if table in OWNERS:
        await line.execute("set local role kafang_owner")


def inserting(table: str) -> str:
    """Put a row of JSON into a table."""
    return (
        f"insert into {table} overriding system value"
        f" select * from jsonb_populate_record(null::{table}, $1)"
    )


async def attempt(line: Any, statement: str, *values: Any) -> str:
    """Run to the end of what is deferred: the constraint or SQLSTATE that refused, or nothing."""
    savepoint = line.transaction()
    await savepoint.start()
    try:
        await line.execute(statement, *values)
        await line.execute("set constraints all immediate")
    except asyncpg.PostgresError as error:
        await savepoint.rollback()
        return str(getattr(error, "constraint_name", None) or error.sqlstate)
    await savepoint.commit()
    return ""


async def bad_row(line: Any, entry: str, constraints: list[Any]) -> dict[str, Any]:
    """A sound row, but for what the constraint refuses."""
    table, name = entry.split(".")
    where = WHERE.get(table, "true")
    text = await line.fetchval(f"select to_jsonb(t)::text from {table} t where {where} limit 1")
    row: dict[str, Any] = json.loads(text)
    own = next(c for c in constraints if (c["table"], c["name"]) == (table, name))
    if own["type"] == "f":
        last = own["columns"][-1]
        row[last] = 99 if isinstance(row[last], int) else "nowhere"
    changed = CONSTRAINTS[entry].get("row", {})
    row |= {column: None if value == "null" else value for column, value in changed.items()}
    kept = {*changed, *(own["columns"] if own["type"] != "c" else ())}
    for other in constraints:
        if other["table"] == table and other["type"] in "pu" and other["name"] != name:
            free = [column for column in other["columns"] if column in FRESH and column not in kept]
            if free and not changed.keys() & {*other["columns"]}:
                row[free[-1]] = FRESH[free[-1]]
    return row if changed.keys() & SEQS else numbered(table, row)


def numbered(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row; a segment's first number is what its last one and its entries make it."""
    if table == "segment":
        row["first_seq"] = row["last_seq"] - len(row["entries"]) + 1
    return row


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
@pytest.mark.parametrize("entry", CONSTRAINTS)
async def test_INV_D18_a_constraint_refuses_its_bad_row(
    line: Any, entry: str, broken: bool
) -> None:
    table, name = entry.split(".")
    constraints = await line.fetch(LIST_CONSTRAINTS)
    row = await bad_row(line, entry, constraints)
    if CONSTRAINTS[entry].get("alone"):  # its key lets in one row, whichever
        await line.execute(f"delete from {table}")
    kinds = {each["name"]: each["type"] for each in constraints}
    if broken:
        for each in (*CONSTRAINTS[entry].get("with", []), name):
            await line.execute(
                f"drop index {each}"
                if kinds[each] == "i"
                else f"alter table {table} drop constraint {each} cascade"
            )
    if kinds[name] != "f":  # keys and checks are tested without the references of the row
        await line.execute("set local session_replication_role = replica")
    if "merchant_id" in row:
        await as_writer(line, table, row["merchant_id"])
    refused = await attempt(line, inserting(table), json.dumps(row))
    assert refused == ("" if broken else name)


async def test_every_constraint_has_its_entry(line: Any) -> None:
    found = {f"{row['table']}.{row['name']}" for row in await line.fetch(LIST_CONSTRAINTS)}
    assert found == set(CONSTRAINTS)


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
@pytest.mark.parametrize("entry", [entry for entry in POLICIES if entry.endswith(".tenant")])
async def test_INV_D13_a_policy_hides_and_refuses_another_tenants_row(
    line: Any, entry: str, broken: bool
) -> None:
    table, name = entry.split(".")
    ours, theirs = [row[0] for row in await line.fetch("select merchant_id from merchant")]
    text = await line.fetchval(
        f"select to_jsonb(t)::text from {table} t where merchant_id = $1 limit 1", theirs
    )
    keys = [row for row in await line.fetch(LIST_CONSTRAINTS) if row["table"] == table]
    row = json.loads(text)
    for key in keys:
        if key["type"] in "pui":
            named = [name for name in key["columns"] if name in FRESH and row[name] is not None]
            if named:
                row[named[-1]] = FRESH[named[-1]]
    columns = await line.fetch(
        "select column_name from information_schema.column_privileges where grantee = 'kafang_app'"
        " and table_name = $1 and privilege_type = 'UPDATE' order by 1",
        table,
    )
    if broken:
        await line.execute(f"drop policy {name} on {table}")
        await line.execute(f"create policy {name} on {table} using (true)")
    await line.execute("set local session_replication_role = replica")
    await as_app(line, ours)
    seen = await line.fetchval(f"select count(*) from {table} where merchant_id <> $1", ours)
    assert bool(seen) is broken, "another tenant's rows are seen"
    if columns:
        column = columns[0][0]
        done = await line.execute(
            f"update {table} set {column} = {column} where merchant_id <> '{ours}'"
        )
        assert (done != "UPDATE 0") is broken, "another tenant's rows are changed"
    row = numbered(table, row)
    await as_writer(line, table, ours)
    refused = await attempt(line, inserting(table), json.dumps(row))
    assert refused == ("" if broken else "42501"), "a row is put into another tenant"


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
@pytest.mark.parametrize("table", LISTED)
async def test_what_is_listed_of_all_merchants_is_the_owners(
    line: Any, table: str, broken: bool
) -> None:
    if broken:
        await line.execute(f"alter policy operator_list on {table} to public")
    listed = f"select count(*) from {table}"
    await as_app(line, "")
    assert bool(await line.fetchval(listed)) is broken
    await line.execute("set local role kafang_owner")
    assert await line.fetchval(listed) == 2


async def test_every_policy_has_its_entry(line: Any) -> None:
    rows = await line.fetch(
        "select tablename, policyname from pg_policies where schemaname = 'public'"
    )
    assert sorted(f"{row[0]}.{row[1]}" for row in rows) == sorted(POLICIES)


async def test_a_tenant_is_never_unset_by_chance(line: Any) -> None:
    """Without a tenant, nothing is seen, in no table."""
    tables = {entry.split(".")[0] for entry in POLICIES}
    await as_app(line, "")
    assert {
        table for table in tables if await line.fetchval(f"select count(*) from {table}")
    } == set()
