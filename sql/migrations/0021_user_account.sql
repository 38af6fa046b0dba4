-- People who work with a merchant's cards, each with an account at that merchant. An e-mail address isn't stored: a hash
-- of it under a key that the database doesn't have finds the account again. This file and the next five.

set local lock_timeout = '5s';

create table user_account (
  merchant_id   text collate "C" not null references merchant,
  user_id       text collate "C" not null,
  email_index   bytea not null check (octet_length(email_index) = 32),
  masked_email  text not null,
  status        text not null check (status in ('invited', 'active', 'disabled')),
  password_hash text,
  -- The secret that an authenticator has, sealed under a key that the database doesn't have; it counts once the first
  -- code was right. A code is good once: the step of the last one.
  totp_sealed   bytea,
  totp_since    timestamptz,
  totp_step     bigint,
  version       integer not null default 1 check (version > 0),
  created_at    timestamptz not null,
  primary key (merchant_id, user_id),
  constraint user_account_email unique (merchant_id, email_index),
  constraint user_account_has_password check (status <> 'active' or password_hash is not null),
  constraint user_account_totp check (totp_sealed is not null or (totp_since is null and totp_step is null))
);

alter table user_account enable row level security;
alter table user_account force row level security;
create policy tenant on user_account using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on user_account to kafang_app;
grant update (status, password_hash, totp_sealed, totp_since, totp_step, version) on user_account to kafang_app;
