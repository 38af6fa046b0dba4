-- What waits for a second person, or did. `responsible_id` is who asked: a user, also where they asked with an API key that
-- they made. `digest` is of everything that was asked for: what differs in anything is another request.

set local lock_timeout = '5s';

create table approval (
  merchant_id    text collate "C" not null references merchant,
  approval_id    text collate "C" not null,
  kind           text not null,
  status         text not null
    check (status in ('open', 'approved', 'used', 'rejected', 'withdrawn', 'expired', 'void')),
  responsible_id text collate "C" not null,
  actor_kind     text not null check (actor_kind in ('user', 'api_key')),
  actor_id       text collate "C" not null,
  session_id     text collate "C",
  store_id       text collate "C",
  subject_id     text collate "C",
  amount         bigint check (amount > 0),
  currency       text,
  request        jsonb not null,
  digest         bytea not null check (octet_length(digest) = 32),
  approvers      smallint not null check (approvers between 1 and 3),
  roles          text[] not null check (cardinality(roles) > 0),
  opened_at      timestamptz not null,
  expires_at     timestamptz not null,
  closed_at      timestamptz,
  foreign key (merchant_id, store_id) references store,
  constraint approval_responsible unique (merchant_id, approval_id, responsible_id),
  constraint approval_amount check ((amount is null) = (currency is null)),
  constraint approval_closed check ((status in ('open', 'approved')) = (closed_at is null))
);
alter table approval add primary key (merchant_id, approval_id);
-- Asked again, the same request finds what it waits for.
create unique index approval_waiting on approval (merchant_id, responsible_id, digest) where closed_at is null;

alter table approval enable row level security;
alter table approval force row level security;
create policy tenant on approval using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on approval to kafang_app;
grant update (status, closed_at) on approval to kafang_app;
