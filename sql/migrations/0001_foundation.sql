-- Foundation: tenants, stores, credentials, templates, cards and the ledger.
--
-- How to read it. A tenant is a merchant; `merchant_id` leads every key and every foreign key, so another
-- tenant's row cannot even be named (and the tables are ready to be distributed by it). Row-level security is forced as
-- the second line; `kafang.merchant_id` is set first in every transaction. The application's role owns nothing and may
-- not update or delete what is append-only: that is done by grants, not by triggers.
--
-- Value moves like this: an `operation` (immutable, the event log) has `posting`s (from account, to account) and, for
-- each card it touched, one `leg` with the balances after it. `lot`s are credits with their own expiry; `card` holds
-- the only stored balances and the version that every write of the card compares and raises.
-- Ids are text with a typed prefix and a time-sortable body; amounts are integer minor units; time is UTC.

set local lock_timeout = '5s';

do $$
begin
  if not exists (select from pg_roles where rolname = 'kafang_app') then
    create role kafang_app nologin;
  end if;
end
$$;

grant usage on schema public to kafang_app;

create table merchant (
  merchant_id text collate "C" primary key,
  name        text not null,
  mode        text not null check (mode in ('test', 'live')),
  currency    text not null check (currency ~ '^[A-Z]{3}$'),
  time_zone   text not null,
  status      text not null default 'active' check (status in ('active', 'suspended')),
  -- Raised by every change of a store, credential, template or of this row: what a worker remembers is good while
  -- the epoch read in the same round trip is unchanged.
  epoch       bigint not null default 1 check (epoch > 0),
  -- The movable clock of a test tenant; only ever moved forward. Null = real time.
  test_now    timestamptz,
  created_at  timestamptz not null,
  constraint merchant_test_clock check (test_now is null or mode = 'test')
);

create table store (
  merchant_id  text collate "C" not null references merchant,
  store_id     text collate "C" not null,
  name         text not null,
  legal_entity text not null,
  time_zone    text not null,
  -- Local time at which the business day of this store begins: 04:00 counts a sale at 03:59 to the day before.
  day_cutoff   time not null,
  status       text not null default 'active' check (status in ('active', 'closed')),
  created_at   timestamptz not null,
  primary key (merchant_id, store_id)
);

create table api_key (
  merchant_id text collate "C" not null references merchant,
  api_key_id  text collate "C" not null,
  name        text not null,
  secret_hash bytea not null check (octet_length(secret_hash) = 32),
  scopes      text[] not null,
  store_id    text collate "C",
  status      text not null default 'active' check (status in ('active', 'revoked')),
  expires_at  timestamptz,
  created_at  timestamptz not null,
  primary key (merchant_id, api_key_id),
  constraint api_key_secret unique (merchant_id, secret_hash),
  foreign key (merchant_id, store_id) references store
);

create table card_template (
  merchant_id text collate "C" not null references merchant,
  template_id text collate "C" not null,
  created_at  timestamptz not null,
  primary key (merchant_id, template_id)
);

-- A published version never changes (no update grant); cards pin the version they were issued under.
create table template_version (
  merchant_id  text collate "C" not null,
  template_id  text collate "C" not null,
  version      integer not null check (version > 0),
  status       text not null check (status in ('published')),
  rules        jsonb not null,
  published_at timestamptz not null,
  primary key (merchant_id, template_id, version),
  foreign key (merchant_id, template_id) references card_template
);

-- Counters shared by many cards: not version-gated, one summed delta per post.
create table template_counter (
  merchant_id text collate "C" not null,
  template_id text collate "C" not null,
  counter     text not null check (counter in ('cards_issued')),
  used        bigint not null default 0,
  cap         bigint,
  primary key (merchant_id, template_id, counter),
  foreign key (merchant_id, template_id) references card_template,
  constraint template_counter_cap check (used >= 0 and (cap is null or used <= cap))
);

create table card (
  merchant_id      text collate "C" not null,
  card_id          text collate "C" not null,
  card_number      text collate "C" not null check (card_number ~ '^[0-9]{8,32}$'),
  template_id      text collate "C" not null,
  template_version integer not null,
  currency         text not null,
  status           text not null check (status in ('created', 'active', 'frozen')),
  version          bigint not null check (version > 0),
  principal        bigint not null,
  bonus            bigint not null,
  activated_at     timestamptz,
  -- The resolved instant and the last local day it is valid; both null: it never expires.
  expires_at       timestamptz,
  expires_on       date,
  last_operation_at timestamptz not null,
  created_at       timestamptz not null,
  primary key (merchant_id, card_id),
  constraint card_number_unique unique (merchant_id, card_number),
  constraint card_balance_not_negative check (principal >= 0 and bonus >= 0),
  constraint card_expiry_pair check ((expires_at is null) = (expires_on is null)),
  constraint card_created_is_empty check (
    status <> 'created' or (principal = 0 and bonus = 0 and activated_at is null)),
  foreign key (merchant_id, template_id, template_version) references template_version
) with (fillfactor = 80);

create table operation (
  merchant_id     text collate "C" not null,
  operation_id    text collate "C" not null,
  kind            text not null check (kind in (
                    'issue', 'activate', 'top_up', 'redeem', 'refund', 'void', 'reversal', 'freeze', 'unfreeze',
                    'lapse')),
  status          text not null check (status in ('accepted', 'refused')),
  card_id         text collate "C",
  -- The operation this one undoes (refund, void, reversal).
  target_id       text collate "C",
  amount          bigint not null check (amount >= 0),
  currency        text,
  store_id        text collate "C",
  legal_entity    text,
  terminal_id     text,
  operator        text,
  shift           text,
  receipt_no      text,
  request_no      text,
  business_date   date not null,
  occurred_at     timestamptz not null,
  recorded_at     timestamptz not null,
  -- The clock and the card version the decision was made on; the leg of an accepted operation is version + 1.
  decided_at      timestamptz not null,
  decided_version bigint,
  device_id       text,
  device_seq      bigint,
  offline         boolean not null default false,
  api_key_id      text collate "C",
  -- Facts of one kind only: reasons of a refusal, tender and payment reference of a top-up, lines of a refund.
  details         jsonb,
  primary key (merchant_id, operation_id),
  foreign key (merchant_id, store_id) references store,
  foreign key (merchant_id, target_id) references operation,
  constraint operation_device_pair check ((device_id is null) = (device_seq is null))
);
create index operation_refused_request_no on operation (merchant_id, store_id, request_no)
  where status = 'refused' and request_no is not null;
create index operation_target on operation (merchant_id, target_id) where target_id is not null;

create table lot (
  merchant_id  text collate "C" not null,
  card_id      text collate "C" not null,
  lot_id       text collate "C" not null,
  account      text not null check (account in ('principal', 'bonus')),
  unit         text not null,
  amount       bigint not null check (amount > 0),
  remaining    bigint not null,
  -- The resolved instant and the local date a person is told.
  expires_at   timestamptz,
  expires_on   date,
  operation_id text collate "C" not null,
  created_at   timestamptz not null,
  primary key (merchant_id, card_id, lot_id),
  constraint lot_remaining_within check (remaining between 0 and amount),
  constraint lot_expiry_pair check ((expires_at is null) = (expires_on is null)),
  foreign key (merchant_id, card_id) references card,
  foreign key (merchant_id, operation_id) references operation deferrable initially deferred
) with (fillfactor = 80);

create table posting (
  merchant_id  text collate "C" not null,
  operation_id text collate "C" not null,
  posting_no   smallint not null check (posting_no > 0),
  from_account text not null check (from_account in ('principal', 'bonus', 'tender', 'promotion', 'sales', 'lapsed')),
  to_account   text not null check (to_account in ('principal', 'bonus', 'tender', 'promotion', 'sales', 'lapsed')),
  unit         text not null,
  amount       bigint not null check (amount > 0),
  card_id      text collate "C" not null,
  lot_id       text collate "C" not null,
  legal_entity text,
  primary key (merchant_id, operation_id, posting_no),
  constraint posting_one_card_side check
    ((from_account in ('principal', 'bonus')) <> (to_account in ('principal', 'bonus'))),
  foreign key (merchant_id, operation_id) references operation,
  foreign key (merchant_id, card_id, lot_id) references lot
);

-- One row per card an operation touched: versions without gap or fork are a key, and the cursor of a statement.
create table leg (
  merchant_id     text collate "C" not null,
  card_id         text collate "C" not null,
  version         bigint not null check (version > 0),
  operation_id    text collate "C" not null,
  status          text not null check (status in ('created', 'active', 'frozen')),
  principal_delta bigint not null,
  bonus_delta     bigint not null,
  principal       bigint not null check (principal >= 0),
  bonus           bigint not null check (bonus >= 0),
  primary key (merchant_id, card_id, version),
  foreign key (merchant_id, card_id) references card,
  foreign key (merchant_id, operation_id) references operation
);

create table redemption (
  merchant_id    text collate "C" not null,
  redemption_id  text collate "C" not null,
  card_id        text collate "C" not null,
  store_id       text collate "C" not null,
  request_no     text not null,
  status         text not null check (status in ('captured', 'partly_refunded', 'refunded', 'voided')),
  version        bigint not null check (version > 0),
  currency       text not null,
  amount         bigint not null check (amount > 0),
  refunded       bigint not null,
  lines          jsonb not null,
  -- line_id -> minor units already given back for that line.
  refunded_lines jsonb not null,
  primary key (merchant_id, redemption_id),
  constraint redemption_request_no unique (merchant_id, store_id, request_no),
  constraint redemption_refunded_within check (refunded between 0 and amount),
  constraint redemption_status_agrees check (case status
      when 'captured' then refunded = 0
      when 'partly_refunded' then refunded > 0 and refunded < amount
      else refunded = amount end),
  foreign key (merchant_id, redemption_id) references operation (merchant_id, operation_id)
) with (fillfactor = 90);

-- The narrow key table, kept for ever: one row per key ever used, also for refusals and for keys undone before they
-- came.
create table idempotency_key (
  merchant_id  text collate "C" not null,
  key_hash     bytea not null check (octet_length(key_hash) = 16),
  fingerprint  bytea not null,
  outcome      text not null check (outcome in ('accepted', 'refused', 'tombstone')),
  operation_id text collate "C",
  http_status  smallint not null,
  answer       bytea,
  created_at   timestamptz not null,
  primary key (merchant_id, key_hash),
  foreign key (merchant_id, operation_id) references operation deferrable initially deferred,
  constraint idempotency_key_operation check ((operation_id is null) = (outcome = 'tombstone'))
);

-- Row-level security, forced: it binds the owner too. An unset or empty tenant sees nothing.
alter table merchant enable row level security;
alter table merchant force row level security;
create policy tenant on merchant using (merchant_id = current_setting('kafang.merchant_id', true));
alter table store enable row level security;
alter table store force row level security;
create policy tenant on store using (merchant_id = current_setting('kafang.merchant_id', true));
alter table api_key enable row level security;
alter table api_key force row level security;
create policy tenant on api_key using (merchant_id = current_setting('kafang.merchant_id', true));
alter table card_template enable row level security;
alter table card_template force row level security;
create policy tenant on card_template using (merchant_id = current_setting('kafang.merchant_id', true));
alter table template_version enable row level security;
alter table template_version force row level security;
create policy tenant on template_version using (merchant_id = current_setting('kafang.merchant_id', true));
alter table template_counter enable row level security;
alter table template_counter force row level security;
create policy tenant on template_counter using (merchant_id = current_setting('kafang.merchant_id', true));
alter table card enable row level security;
alter table card force row level security;
create policy tenant on card using (merchant_id = current_setting('kafang.merchant_id', true));
alter table lot enable row level security;
alter table lot force row level security;
create policy tenant on lot using (merchant_id = current_setting('kafang.merchant_id', true));
alter table operation enable row level security;
alter table operation force row level security;
create policy tenant on operation using (merchant_id = current_setting('kafang.merchant_id', true));
alter table posting enable row level security;
alter table posting force row level security;
create policy tenant on posting using (merchant_id = current_setting('kafang.merchant_id', true));
alter table leg enable row level security;
alter table leg force row level security;
create policy tenant on leg using (merchant_id = current_setting('kafang.merchant_id', true));
alter table redemption enable row level security;
alter table redemption force row level security;
create policy tenant on redemption using (merchant_id = current_setting('kafang.merchant_id', true));
alter table idempotency_key enable row level security;
alter table idempotency_key force row level security;
create policy tenant on idempotency_key using (merchant_id = current_setting('kafang.merchant_id', true));

-- The list of tenants is for the people who run the system (the owner, for `verify`), never for the application.
create policy operator_list on merchant for select to current_user using (true);

grant select, insert on merchant, store, api_key, card_template, template_version, template_counter,
  card, lot, operation, posting, leg, redemption, idempotency_key to kafang_app;
grant update (name, status, epoch, test_now) on merchant to kafang_app;
grant update (name, legal_entity, time_zone, day_cutoff, status) on store to kafang_app;
grant update (name, scopes, status, expires_at) on api_key to kafang_app;
grant update (used) on template_counter to kafang_app;
grant update (status, version, principal, bonus, activated_at, expires_at, expires_on, last_operation_at)
  on card to kafang_app;
grant update (remaining) on lot to kafang_app;
grant update (status, version, refunded, refunded_lines) on redemption to kafang_app;
