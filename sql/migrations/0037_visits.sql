-- The platform's people visit a merchant: a role there for a reason and for an hour, seen by both (decision 0026).

set local lock_timeout = '5s';

-- The platform is a tenant as every merchant is, with people and a trail of its own, and without cards. There is one.
create table platform (
  only_one    boolean primary key default true check (only_one),
  platform_id text collate "C" not null references merchant
);
grant select, insert on platform to kafang_app;

-- Who visits has an account there, without an address or a password to sign in with.
alter table user_account
  add column is_visitor boolean not null default false,
  -- No version reads an account's.
  -- squawk-ignore ban-drop-not-null
  alter column email_index drop not null,
  -- Another one of that name takes its place, and asks none of a visitor.
  -- squawk-ignore ban-drop-constraint
  drop constraint user_account_has_password,
  add constraint user_account_has_password check (
    status <> 'active' or password_hash is not null or is_visitor) not valid,
  add constraint user_account_visitor check (
    is_visitor = (email_index is null) and not (is_visitor and password_hash is not null)) not valid;

-- Each visit has a row in either tenant.
create table visit (
  merchant_id  text collate "C" not null,
  visit_id     text collate "C" not null,
  platform_id  text collate "C" not null,
  host_id      text collate "C" not null,
  user_id      text collate "C" not null,
  -- In the host's tenant.
  session_id   text collate "C" not null,
  role         text not null,
  reason       text not null,
  masked_email text not null,
  began_at     timestamptz not null,
  ends_at      timestamptz not null,
  ended_at     timestamptz,
  ended_by     text collate "C",
  primary key (merchant_id, visit_id),
  foreign key (merchant_id, user_id) references user_account,
  constraint visit_of_two check (platform_id <> host_id and merchant_id in (platform_id, host_id)),
  constraint visit_end check ((ended_at is null) = (ended_by is null))
);
create index visit_open on visit (merchant_id, user_id) where ended_at is null;

alter table visit enable row level security;
alter table visit force row level security;
create policy tenant on visit using (merchant_id = current_setting('kafang.merchant_id', true));

grant select, insert on visit to kafang_app;
grant update (ended_at, ended_by) on visit to kafang_app;
