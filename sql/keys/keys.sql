-- The key store: keys of merchants and of people, each wrapped by the one above it, and who was forgotten (decision 0025).
-- It is a database of its own, PostgreSQL or a file of SQLite, and is kept apart from the ledger's backups; what is written
-- here both understand.

-- name: create_keys
-- `owner_id` is the merchant's own id, or that of one of its people; `wrapped_by` names the key outside the databases that
-- wraps a merchant's key, and is empty for a person's, which the merchant's key of the same number wraps.
create table if not exists wrapped_key (
  merchant_id text not null,
  owner_id    text not null,
  key_no      integer not null check (key_no > 0),
  wrapped_by  text not null,
  wrapped     bytea not null,
  primary key (merchant_id, owner_id, key_no)
);

-- name: create_forgotten
-- Who asked to be forgotten, and whether they are: a ledger that is put back from a backup doesn't know.
create table if not exists forgotten (
  merchant_id text not null,
  person_id   text not null,
  is_erased   integer not null,
  primary key (merchant_id, person_id)
);

-- name: create_numbers
-- The keys of a number, for whoever destroys them.
create index if not exists wrapped_key_number on wrapped_key (merchant_id, key_no);

-- name: create_merchants
-- The few that merchants have, among all those of people.
create index if not exists wrapped_key_merchant on wrapped_key (merchant_id, key_no) where wrapped_by <> '';

-- name: is_ready
-- Whether all of that is there; of PostgreSQL alone.
select to_regclass('forgotten') is not null and to_regclass('wrapped_key_merchant') is not null;

-- name: put
-- A new key; whoever came first stays.
insert into wrapped_key (merchant_id, owner_id, key_no, wrapped_by, wrapped) values ($1, $2, $3, $4, $5)
on conflict do nothing;

-- name: of_owner
-- All keys of an owner, the newest first.
select owner_id, key_no, wrapped_by, wrapped from wrapped_key where merchant_id = $1 and owner_id = $2
order by key_no desc;

-- name: between
-- The keys of a number of all owners from one to another.
select owner_id, key_no, wrapped_by, wrapped from wrapped_key
where merchant_id = $1 and owner_id >= $2 and owner_id <= $3 and key_no = $4;

-- name: rewrap
-- A merchant's key under another one.
update wrapped_key set wrapped_by = $4, wrapped = $5 where merchant_id = $1 and owner_id = $2 and key_no = $3;

-- name: wrapped_by
-- Which keys outside the databases are needed, and by which merchants' keys.
select merchant_id, key_no, wrapped_by from wrapped_key where wrapped_by <> '' order by merchant_id, key_no;

-- name: destroy_owner
-- All keys of an owner, for ever.
delete from wrapped_key where merchant_id = $1 and owner_id = $2;

-- name: older
-- Some of the keys of a merchant and its people below a number.
select owner_id, key_no from wrapped_key where merchant_id = $1 and key_no < $2 limit 2000;

-- name: destroy_one
-- One key, for ever.
delete from wrapped_key where merchant_id = $1 and owner_id = $2 and key_no = $3;

-- name: remember
-- Somebody asked to be forgotten ($3 = 0), or is ($3 = 1), which stays so.
insert into forgotten (merchant_id, person_id, is_erased) values ($1, $2, $3)
on conflict (merchant_id, person_id) do update set is_erased = $3 where forgotten.is_erased < $3;

-- name: forgotten
-- Who asked to be forgotten, after an id.
select person_id, is_erased from forgotten where merchant_id = $1 and person_id > $2 order by person_id limit 500;
