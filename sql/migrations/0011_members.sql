-- Members: who holds cards, found again by a phone that isn't stored; and whose a card was, from when to when.

set local lock_timeout = '5s';

create table member (
  merchant_id      text collate "C" not null references merchant,
  member_id        text collate "C" not null,
  -- What the merchant's own backend calls them.
  external_id      text collate "C",
  -- A hash of the phone under a key that the database doesn't have, and what of the phone a person is shown.
  phone_index      bytea check (octet_length(phone_index) = 32),
  masked_phone     text,
  -- A token carries the one it was issued under; those of an earlier one are over.
  token_generation integer not null default 1 check (token_generation > 0),
  version          integer not null default 1 check (version > 0),
  created_at       timestamptz not null,
  primary key (merchant_id, member_id),
  constraint member_external_id unique (merchant_id, external_id),
  constraint member_phone unique (merchant_id, phone_index),
  constraint member_phone_pair check ((phone_index is null) = (masked_phone is null)),
  constraint member_is_known check (external_id is not null or phone_index is not null)
);

-- Kept for ever: the end of a binding is a time in its row.
create table card_binding (
  merchant_id   text collate "C" not null,
  card_id       text collate "C" not null,
  binding_no    integer not null check (binding_no > 0),
  member_id     text collate "C" not null,
  -- The card's version at that moment: whoever had the card before keeps what they did to themselves.
  bound_version bigint not null check (bound_version > 0),
  bound_at      timestamptz not null,
  bound_by      text collate "C" not null,
  unbound_at    timestamptz,
  unbound_by    text collate "C",
  primary key (merchant_id, card_id, binding_no),
  foreign key (merchant_id, member_id) references member,
  foreign key (merchant_id, card_id) references card,
  constraint card_binding_end check ((unbound_at is null) = (unbound_by is null))
);
-- Nobody else's while it is somebody's.
create unique index card_binding_open on card_binding (merchant_id, card_id) where unbound_at is null;
create index card_binding_member on card_binding (merchant_id, member_id) where unbound_at is null;

alter table member enable row level security;
alter table member force row level security;
create policy tenant on member using (merchant_id = current_setting('kafang.merchant_id', true));
alter table card_binding enable row level security;
alter table card_binding force row level security;
create policy tenant on card_binding using (merchant_id = current_setting('kafang.merchant_id', true));

grant select, insert on member, card_binding to kafang_app;
grant update (phone_index, masked_phone, token_generation, version) on member to kafang_app;
grant update (unbound_at, unbound_by) on card_binding to kafang_app;
