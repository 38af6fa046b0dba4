-- The business days of stores: through which one each is closed, and every closing and reopening as it was.

set local lock_timeout = '5s';

-- No operation of a later posting belongs to this date or an earlier one; null: no day was ever closed.
alter table store add column closed_through date;
grant update (closed_through) on store to kafang_app;

-- Append-only: a day that is reopened and closed again has both closings, and the second says what came on top.
create table day_change (
  merchant_id   text collate "C" not null,
  store_id      text collate "C" not null,
  business_date date not null,
  change_no     integer not null check (change_no > 0),
  action        text not null check (action in ('close', 'reopen')),
  reason        text,
  changed_at    timestamptz not null,
  api_key_id    text collate "C" not null,
  -- What the day held at a closing, by the finest lines.
  totals        jsonb,
  primary key (merchant_id, store_id, business_date, change_no),
  foreign key (merchant_id, store_id) references store,
  constraint day_change_closing check ((action = 'close') = (totals is not null)),
  constraint day_change_reason check ((action = 'reopen') = (reason is not null))
);
alter table day_change enable row level security;
alter table day_change force row level security;
create policy tenant on day_change using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on day_change to kafang_app;

-- What terms_v2 returns of a store.
create type store_row_v2 as (
  store_id text, legal_entity text, time_zone text, day_cutoff time, status text, closed_through date);
