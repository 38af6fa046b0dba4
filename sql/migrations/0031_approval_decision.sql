-- What somebody said of it: each person once, and never whoever asked.

set local lock_timeout = '5s';

create table approval_decision (
  merchant_id    text collate "C" not null,
  approval_id    text collate "C" not null,
  user_id        text collate "C" not null,
  responsible_id text collate "C" not null,
  session_id     text collate "C" not null,
  approved       boolean not null,
  note           text,
  decided_at     timestamptz not null,
  primary key (merchant_id, approval_id, user_id),
  foreign key (merchant_id, user_id) references user_account,
  foreign key (merchant_id, approval_id, responsible_id) references approval (merchant_id, approval_id, responsible_id),
  constraint approval_decision_other check (user_id <> responsible_id)
);

alter table approval_decision enable row level security;
alter table approval_decision force row level security;
create policy tenant on approval_decision using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert on approval_decision to kafang_app;
