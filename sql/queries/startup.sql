-- Checks of the server and the role before anything is served.

-- name: durability
-- Settings that would let an acknowledged commit be lost.
select name, setting from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off';

-- name: role
-- What the connected role could do beyond its duty.
select r.rolname as role, r.rolsuper as superuser, r.rolbypassrls as bypasses_rls,
  exists (select from pg_class c where c.relowner = r.oid and c.relnamespace = 'public'::regnamespace) as owns_tables,
  not pg_has_role(r.oid, 'kafang_app', 'member') as not_member
from pg_roles r where r.rolname = current_user;

-- name: unprotected_tables
-- Tables with a tenant column that row-level security does not bind.
select c.relname as table
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'merchant_id'
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
  and not (c.relrowsecurity and c.relforcerowsecurity
           and exists (select from pg_policy p where p.polrelid = c.oid))
order by 1;

-- name: claim
-- The secret's check value, kept by whoever comes first.
insert into installation (secret_check) values ($1) on conflict do nothing;

-- name: secret_check
-- The check value of the secret this database was first used with.
select secret_check from installation;

-- name: claim_key_store
-- The store of keys, kept by whoever comes first.
update installation set key_store_id = $1 where key_store_id is null;

-- name: key_store_id
-- The store of keys that this database was first used with.
select key_store_id from installation;

-- name: adopt_key_store
-- The store of keys is lost: another one is taken for this database's.
update installation set key_store_id = $1;

-- name: ping
-- Whether the server answers.
select 1;
