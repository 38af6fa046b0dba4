-- What is personal of a member, sealed under a key of theirs that is kept elsewhere (decision 0025): without that key it is
-- nothing, in every copy of this database.

set local lock_timeout = '5s';

-- A member whose erasure was asked for is restricted while the law wants what is known of them kept, and then erased.
alter table member
  add column status       text not null default 'active',
  add column masked_name  text,
  add column phone_sealed bytea,
  add column name_sealed  bytea,
  -- Under which number the key is that sealed these.
  add column key_no       integer,
  -- Another one of that name takes its place, and asks of an active member what this one did.
  -- squawk-ignore ban-drop-constraint
  drop constraint member_is_known,
  add constraint member_status check (status in ('active', 'restricted', 'erased')) not valid,
  add constraint member_is_known check (status <> 'active' or external_id is not null or phone_index is not null) not valid,
  add constraint member_sealed check (key_no is not null or (phone_sealed is null and name_sealed is null)) not valid,
  add constraint member_restricted check (
    status = 'active'
    or (external_id is null and phone_index is null and masked_phone is null and masked_name is null)) not valid,
  add constraint member_erased check (
    status <> 'erased' or (phone_sealed is null and name_sealed is null)) not valid;

-- Why what is known of somebody is kept, whatever they ask for.
create table legal_hold (
  merchant_id   text collate "C" not null,
  legal_hold_id text collate "C" not null,
  member_id     text collate "C" not null,
  reason        text not null,
  placed_by     text collate "C" not null,
  placed_at     timestamptz not null,
  released_by   text collate "C",
  released_at   timestamptz,
  primary key (merchant_id, legal_hold_id),
  foreign key (merchant_id, member_id) references member,
  constraint legal_hold_end check ((released_at is null) = (released_by is null))
);
create index legal_hold_member on legal_hold (merchant_id, member_id, legal_hold_id);

alter table legal_hold enable row level security;
alter table legal_hold force row level security;
create policy tenant on legal_hold using (merchant_id = current_setting('kafang.merchant_id', true));

grant select, insert on legal_hold to kafang_app;
grant update (released_by, released_at) on legal_hold to kafang_app;
grant update (external_id, status, masked_name, phone_sealed, name_sealed  , key_no) on member to kafang_app;

-- Which store has the keys: with another one everybody would look erased.
alter table installation add column key_store_id bytea;
grant update (key_store_id) on installation to kafang_app;
