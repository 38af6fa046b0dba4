-- What each employee did in a day of what rules of authority limit by the day: a row for each request that was let through.

set local lock_timeout = '5s';

create table employee_use (
  merchant_id   text collate "C" not null references merchant,
  employee      text collate "C" not null,
  kind          text not null,
  business_date date not null,
  key_hash      bytea not null check (octet_length(key_hash) = 16),
  amount        bigint not null check (amount >= 0),
  used_at       timestamptz not null,
  primary key (merchant_id, employee, kind, business_date, key_hash)
);

alter table employee_use enable row level security;
alter table employee_use force row level security;
create policy tenant on employee_use using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert, update (amount) on employee_use to kafang_app;
