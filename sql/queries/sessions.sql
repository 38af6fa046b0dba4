-- Who is signed in.

-- name: account
-- Whoever has this address, as much as signing in needs.
select user_id, status, version, password_hash, totp_sealed, totp_since is not null as has_totp
from user_account where merchant_id = $1 and email_index = $2;

-- name: held_account
-- The same, unchanged until the end of the transaction.
select user_id, status, version, password_hash, totp_sealed, totp_since is not null as has_totp
from user_account where merchant_id = $1 and email_index = $2
for no key update;

-- name: renew_hash
-- The same password hashed anew: nothing that anybody sees of the account has changed.
update user_account set password_hash = $3 where merchant_id = $1 and user_id = $2;

-- name: own_account
-- The same of somebody who is signed in.
select user_id, status, version, password_hash, totp_sealed, totp_since is not null as has_totp
from user_account where merchant_id = $1 and user_id = $2;

-- name: mode
-- Whether the tenant is a test or a live one.
select mode from merchant where merchant_id = $1;

-- name: blocked
-- For how many seconds these need not try, the longest; nothing when they may.
select ceil(extract(epoch from max(blocked_until) - clock_timestamp()))::integer from sign_in_guard
where merchant_id = $1 and subject = any ($2::bytea[]) and blocked_until > clock_timestamp();

-- name: count_failure
-- One more try of somebody, held to have failed until it is known that it didn't; nothing when it need not be made.
-- After a day without any it begins anew.
insert into sign_in_guard (merchant_id, subject, failures, failed_at, blocked_until)
values ($1, $2, 1, clock_timestamp(), clock_timestamp())
on conflict (merchant_id, subject) do update
set failures = case when sign_in_guard.failed_at < clock_timestamp() - interval '1 day' then 1
    else sign_in_guard.failures + 1 end,
  failed_at = clock_timestamp(),
  blocked_until = case when sign_in_guard.failed_at < clock_timestamp() - interval '1 day' then clock_timestamp()
    else clock_timestamp() + make_interval(secs => least($4::double precision,
      case when sign_in_guard.failures + 1 < $3 then 0
        else 30 * power(2, least(sign_in_guard.failures + 1 - $3, 10)) end)) end
where sign_in_guard.blocked_until <= clock_timestamp()
returning failures;

-- name: uncount_failure
-- It wasn't looked at.
update sign_in_guard set failures = greatest(failures - 1, 0), blocked_until = clock_timestamp()
where merchant_id = $1 and subject = any ($2::bytea[]);

-- name: forget_failures
-- It didn't fail.
update sign_in_guard set failures = 0, blocked_until = clock_timestamp()
where merchant_id = $1 and subject = any ($2::bytea[]);

-- name: start
-- Somebody is signed in.
insert into user_session
  (merchant_id, session_id, user_id, secret_hash, second_factor, address, device, created_at, last_used_at, expires_at,
  device_name)
values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp(),
  clock_timestamp() + make_interval(secs => $8), $9)
returning expires_at;

-- name: of_user
-- Where somebody is signed in, newest first.
select session_id as id, session_id = $3 as current, second_factor, device, address, created_at, last_used_at, expires_at
from user_session
where merchant_id = $1 and user_id = $2 and ended_at is null and expires_at > clock_timestamp()
  and last_used_at > clock_timestamp() - make_interval(secs => $4)
order by session_id desc;

-- name: of_device
-- The sessions that a device began and that go on: one, or more where it signed in twice at once.
select session_id from user_session
where merchant_id = $1 and user_id = $2 and device_name = $3 and ended_at is null and expires_at > clock_timestamp();

-- name: end
-- One of somebody's sessions is over.
update user_session set ended_at = clock_timestamp()
where merchant_id = $1 and user_id = $2 and session_id = $3 and ended_at is null
returning session_id;

-- name: end_others
-- All of somebody's sessions are over but one (null: but none).
update user_session set ended_at = clock_timestamp()
where merchant_id = $1 and user_id = $2 and session_id is distinct from $3 and ended_at is null;

-- name: use_code
-- A code of an authenticator is good once.
update user_account set totp_step = $3
where merchant_id = $1 and user_id = $2 and (totp_step is null or totp_step < $3)
returning user_id;

-- name: seal_totp
-- What an authenticator will show codes of; it counts once it has been confirmed.
update user_account set totp_sealed = $3, totp_step = null
where merchant_id = $1 and user_id = $2 and totp_since is null
returning user_id;

-- name: confirm_totp
-- From now on signing in needs a code.
update user_account set totp_since = clock_timestamp(), totp_step = $3, version = version + 1
where merchant_id = $1 and user_id = $2 and totp_since is null and totp_sealed = $4
returning user_id;

-- name: end_totp
-- The authenticator is good no more.
update user_account set totp_sealed = null, totp_since = null, totp_step = null, version = version + 1
where merchant_id = $1 and user_id = $2;

-- name: add_recovery_code
-- One that is good once.
insert into user_ticket (merchant_id, secret_hash, user_id, kind, created_at)
values ($1, $2, $3, 'recovery_code', clock_timestamp());

-- name: use_recovery_code
-- It was good once.
update user_ticket set used_at = clock_timestamp()
where merchant_id = $1 and secret_hash = $2 and user_id = $3 and kind = 'recovery_code' and used_at is null
returning user_id;

-- name: void_recovery_codes
-- Those before are good no more.
update user_ticket set used_at = clock_timestamp()
where merchant_id = $1 and user_id = $2 and kind = 'recovery_code' and used_at is null;
