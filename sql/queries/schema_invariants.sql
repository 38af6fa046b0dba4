-- The invariants INV-D* of the schema, for the whole database: what stands guard before a row is written. Each returns
-- what breaks it, at most 100 rows of (subject, detail).

-- name: d13_keys
-- The tenant leads every key of a tenant's table, both ends of every foreign key, and is never null.
with tenant_column as (
  select c.oid as table_id, c.relname as name, a.attnum, a.attnotnull from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attname = 'merchant_id' and not a.attisdropped
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p'))
select t.name as subject, 'merchant_id may be null' as detail from tenant_column t where not t.attnotnull
union all
select t.name, format('index %s does not lead with merchant_id', i.indexrelid::regclass)
from tenant_column t
join pg_index i on i.indrelid = t.table_id and i.indkey[0] <> t.attnum
union all
select t.name, format('%s does not carry merchant_id on both sides: %s', k.conname, pg_get_constraintdef(k.oid))
from tenant_column t
join pg_constraint k on k.conrelid = t.table_id and k.contype = 'f'
left join tenant_column f on f.table_id = k.confrelid
where k.conkey[1] <> t.attnum or k.confkey[1] is distinct from f.attnum
limit 100;

-- name: d18_constraints
-- The constraints that encode the invariants are there; every constraint is validated and enforced, every index valid.
with present as (
  select c.relname || '.' || k.conname as name, k.oid, k.convalidated,
    -- The column came with PostgreSQL 18.
    coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) as enforced
  from pg_constraint k join pg_class c on c.oid = k.conrelid
  where c.relnamespace = 'public'::regnamespace)
select e.name as subject, 'is missing' as detail
from unnest(array[
  'api_key.api_key_pkey', 'api_key.api_key_secret', 'api_key.api_key_merchant_id_store_id_fkey',
  'audit_entry.audit_entry_pkey', 'chain_head.chain_head_pkey', 'segment.segment_pkey', 'segment.segment_last_seq',
  'segment.segment_numbers', 'segment.segment_merchant_id_fkey', 'unsequenced.unsequenced_pkey',
  'card.card_pkey', 'card.card_number_unique', 'card.card_balance_not_negative', 'card.card_expiry_pair',
  'card.card_created_is_empty', 'card.card_merchant_id_template_id_template_version_fkey', 'card.card_status_check',
  'card_template.card_template_pkey', 'idempotency_key.idempotency_key_pkey',
  'idempotency_key.idempotency_key_operation', 'idempotency_key.idempotency_key_merchant_id_operation_id_fkey',
  'leg.leg_pkey', 'leg.leg_principal_check', 'leg.leg_bonus_check', 'leg.leg_merchant_id_card_id_fkey',
  'leg.leg_merchant_id_operation_id_fkey',
  'lot.lot_pkey', 'lot.lot_account_check', 'lot.lot_amount_check', 'lot.lot_remaining_within', 'lot.lot_expiry_pair',
  'lot.lot_merchant_id_card_id_fkey', 'merchant.merchant_pkey', 'merchant.merchant_test_clock',
  'operation.operation_pkey', 'operation.operation_kind_check', 'operation.operation_status_check',
  'operation.operation_amount_check', 'operation.operation_merchant_id_store_id_fkey',
  'operation.operation_merchant_id_target_id_fkey',
  'posting.posting_pkey', 'posting.posting_amount_check', 'posting.posting_one_card_side',
  'posting.posting_merchant_id_operation_id_fkey', 'posting.posting_merchant_id_card_id_lot_id_fkey',
  'redemption.redemption_pkey', 'redemption.redemption_request_no', 'redemption.redemption_amount_check',
  'redemption.redemption_refunded_within', 'redemption.redemption_status_agrees',
  'redemption.redemption_merchant_id_redemption_id_fkey', 'store.store_pkey',
  'template_counter.template_counter_pkey', 'template_counter.template_counter_cap',
  'template_version.template_version_pkey']) e (name)
left join present p using (name)
where p.name is null
union all
select name, case when enforced then 'is not validated' else 'is not enforced' end
from present where not convalidated or not enforced
union all
select distinct p.name, 'has a disabled trigger: it is not checked'
from present p join pg_trigger t on t.tgconstraint = p.oid and t.tgenabled not in ('O', 'A')
union all
select i.indexrelid::regclass::text, 'is not a valid index'
from pg_index i join pg_class c on c.oid = i.indexrelid
where c.relnamespace = 'public'::regnamespace and not (i.indisvalid and i.indisready)
limit 100;

-- name: d18_row_security
-- Row-level security is enabled and forced on every table of a tenant, and each policy lets the current tenant through
-- and nobody else; only the owner may list the tenants, and what is to be
-- numbered and anchored.
with tenant_table as (
  select c.oid, c.relname as name, c.relowner, c.relrowsecurity and c.relforcerowsecurity as bound from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attname = 'merchant_id' and not a.attisdropped
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')),
policy as (
  select p.polrelid, p.polname,
    pg_get_expr(p.polqual, p.polrelid) = '(merchant_id = current_setting(''kafang.merchant_id''::text, true))'
      and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') = '' and p.polcmd = '*' as is_tenants,
    t.name in ('merchant', 'unsequenced', 'chain_head') and p.polcmd = 'r' and p.polroles = array[t.relowner] as is_owners
  from pg_policy p join tenant_table t on t.oid = p.polrelid)
select name as subject, 'row-level security is not enabled and forced' as detail from tenant_table where not bound
union all
select t.name, 'has no policy for the tenant' from tenant_table t
where not exists (select from policy p where p.polrelid = t.oid and p.is_tenants)
union all
select t.name, format('policy %s lets through more than the tenant', p.polname)
from tenant_table t join policy p on p.polrelid = t.oid where not (p.is_tenants or p.is_owners)
limit 100;

-- name: d18_grants
-- The application may delete nothing of a tenant, update nothing that is append-only, and write no chain.
with tenant_table as (
  select c.oid, c.relname as name from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attname = 'merchant_id' and not a.attisdropped
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p'))
select name as subject, 'kafang_app may delete' as detail from tenant_table
where has_table_privilege('kafang_app', oid, 'delete') or has_table_privilege('kafang_app', oid, 'truncate')
union all
select name, 'kafang_app may update what is append-only' from tenant_table
where name in ('operation', 'posting', 'leg', 'idempotency_key', 'card_template', 'template_version', 'audit_entry',
  'segment', 'chain_head', 'unsequenced')
  and has_any_column_privilege('kafang_app', oid, 'update')
union all
select name, 'kafang_app may write the chain' from tenant_table
where name in ('audit_entry', 'segment', 'chain_head') and has_any_column_privilege('kafang_app', oid, 'insert')
limit 100;
