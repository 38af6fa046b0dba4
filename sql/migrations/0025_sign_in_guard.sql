-- How often somebody failed to sign in, and until when they need not try. `subject` is a keyed hash: of an e-mail
-- address as whoever comes from a device that never signed in with it, of such a device, of an invitation's account.

set local lock_timeout = '5s';

create table sign_in_guard (
  merchant_id   text collate "C" not null references merchant,
  subject       bytea not null check (octet_length(subject) = 32),
  failures      integer not null check (failures >= 0),
  failed_at     timestamptz not null,
  blocked_until timestamptz not null,
  primary key (merchant_id, subject)
) with (fillfactor = 80);

alter table sign_in_guard enable row level security;
alter table sign_in_guard force row level security;
create policy tenant on sign_in_guard using (merchant_id = current_setting('kafang.merchant_id', true));
grant select, insert, update on sign_in_guard to kafang_app;
