-- Visits of the platform's people to merchants; each has a row in either tenant.

-- name: masked_email
-- As what somebody of the platform is shown.
select masked_email from user_account where merchant_id = $1 and user_id = $2;

-- name: admit
-- An account for who visits; it stays, and its next visit finds it, whatever an older version made of it.
insert into user_account (merchant_id, user_id, masked_email, status, is_visitor, created_at)
values ($1, $2, $3, 'active', true, clock_timestamp())
on conflict (merchant_id, user_id) do update set status = 'active' where user_account.is_visitor;

-- name: take_roles
-- What they were there as before.
update role_grant set revoked_at = clock_timestamp(), revoked_by = $3
where merchant_id = $1 and user_id = $2 and revoked_at is null;

-- name: begin
-- A visit as one of the two tenants keeps it.
insert into visit (merchant_id, visit_id, platform_id, host_id, user_id, session_id, role, reason, masked_email, began_at,
  ends_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: by_ids
-- Visits, newest first.
select visit_id as id, host_id as merchant_id, platform_id, user_id, session_id, role, reason, masked_email, began_at,
  ends_at, ended_at, ended_by
from visit where merchant_id = $1 and visit_id = any ($2::text[])
order by visit_id desc;

-- name: open_of
-- Where somebody visits; with a host, there alone.
select visit_id as id from visit
where merchant_id = $1 and user_id = $2 and ended_at is null and ends_at > clock_timestamp()
  and ($3::text is null or host_id = $3);

-- name: page
-- Visits older than an id, newest first.
select visit_id as id from visit where merchant_id = $1 and visit_id < $2 order by visit_id desc limit $3;

-- name: end
-- It is over.
update visit set ended_at = clock_timestamp(), ended_by = $3
where merchant_id = $1 and visit_id = $2 and ended_at is null
returning visit_id;
