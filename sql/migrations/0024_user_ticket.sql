-- What is good once, by its hash: an invitation or a reset sets a password, a recovery code stands in for an
-- authenticator that is lost.

set local lock_timeout = '5s';

create table user_ticket (
  merchant_id text collate "C" not null,
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  user_id     text collate "C" not null,
  kind        text not null check (kind in ('invitation', 'reset', 'recovery_code')),
  -- Who handed it out; nobody for recovery codes.
  issued_by   text collate "C",
  created_at  timestamptz not null,
  expires_at  timestamptz,
  used_at     timestamptz,
  primary key (merchant_id, secret_hash),
  foreign key (merchant_id, user_id) references user_account
);
create index user_ticket_open on user_ticket (merchant_id, user_id) where used_at is null;

alter table user_ticket enable row level security;
alter table user_ticket force row level security;
create policy tenant on user_ticket using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on user_ticket to kafang_app;
grant update (used_at) on user_ticket to kafang_app;
