-- Who is signed in, by the hash of what they show; over when it ends, when nobody used it for a while, and at the latest
-- when it expires. By the real clock.

set local lock_timeout = '5s';

create table user_session (
  merchant_id   text collate "C" not null,
  session_id    text collate "C" not null,
  user_id       text collate "C" not null,
  secret_hash   bytea not null check (octet_length(secret_hash) = 32),
  second_factor boolean not null,
  address       text,
  device        text,
  created_at    timestamptz not null,
  last_used_at  timestamptz not null,
  expires_at    timestamptz not null,
  ended_at      timestamptz,
  primary key (merchant_id, session_id),
  constraint user_session_secret unique (merchant_id, secret_hash),
  foreign key (merchant_id, user_id) references user_account
);
create index user_session_open on user_session (merchant_id, user_id) where ended_at is null;

alter table user_session enable row level security;
alter table user_session force row level security;
create policy tenant on user_session using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on user_session to kafang_app;
grant update (last_used_at, ended_at) on user_session to kafang_app;
