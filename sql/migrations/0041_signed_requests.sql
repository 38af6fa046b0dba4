-- API keys whose requests are signed, and which nonces they have used: each is good once.

set local lock_timeout = '5s';

alter table api_key add column signed boolean not null default false;

create type credential_row_v3 as (
  api_key_id text, secret_hash bytea, scopes text[], store_id text, expires_at timestamptz, networks text[],
  signed boolean);

create table used_nonce (
  merchant_id text collate "C" not null references merchant,
  nonce_hash  bytea not null check (octet_length(nonce_hash) = 16),
  used_at     timestamptz not null,
  primary key (merchant_id, nonce_hash)
);

create index used_nonce_age on used_nonce (merchant_id, used_at);

alter table used_nonce enable row level security;
alter table used_nonce force row level security;
create policy tenant on used_nonce using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert, update on used_nonce to kafang_app;
