-- People, their roles, and what sets their passwords.

-- name: insert
-- Somebody new; nothing when the address is somebody's.
insert into user_account (merchant_id, user_id, email_index, masked_email, status, created_at)
values ($1, $2, $3, $4, 'invited', clock_timestamp())
on conflict do nothing
returning user_id as id;

-- name: by_ids
-- People with their roles.
select u.user_id as id, u.masked_email, case when u.is_visitor then 'visiting' else u.status end as status, u.totp_since is not null as second_factor, u.version, u.created_at,
  coalesce((
    select json_agg(json_build_object('id', g.grant_id, 'role', g.role,
        'node_id', coalesce(g.area_id, g.store_id, $1), 'granted_at', g.granted_at, 'granted_by', g.granted_by)
      order by g.grant_id)
    from role_grant g where g.merchant_id = $1 and g.user_id = u.user_id and g.revoked_at is null), '[]')::text as roles
from user_account u
where u.merchant_id = $1 and u.user_id = any ($2::text[])
order by u.user_id desc;

-- name: page
-- Who is older than an id, newest first; with stores, only who has a role at one of them. Who only visits isn't in it.
select u.user_id as id from user_account u
where u.merchant_id = $1 and u.user_id < $2 and not u.is_visitor
  and ($3::text[] is null or exists (
    select from role_grant g
    where g.merchant_id = $1 and g.user_id = u.user_id and g.revoked_at is null and g.store_id = any ($3::text[])))
order by u.user_id desc limit $4;

-- name: by_email
-- Whose an address is.
select user_id from user_account where merchant_id = $1 and email_index = $2;

-- name: give
-- One more role; nothing when they have it there.
insert into role_grant (merchant_id, grant_id, user_id, role, area_id, store_id, granted_at, granted_by)
values ($1, $2, $3, $4, $5, $6, clock_timestamp(), $7)
on conflict do nothing
returning grant_id;

-- name: take
-- One role less.
update role_grant set revoked_at = clock_timestamp(), revoked_by = $4
where merchant_id = $1 and grant_id = $2 and user_id = $3 and revoked_at is null
returning grant_id;

-- name: set_status
-- In or out, unless somebody changed the account meanwhile.
update user_account
set status = case when $4::boolean then 'disabled' when password_hash is null then 'invited' else 'active' end,
  version = version + 1
where merchant_id = $1 and user_id = $2 and version = $3
returning user_id as id;

-- name: set_password
-- Another password; who was invited is in with it.
update user_account set password_hash = $3, version = version + 1,
  status = case when status = 'invited' then 'active' else status end
where merchant_id = $1 and user_id = $2 and status <> 'disabled'
returning user_id;

-- name: ticket
-- What is good once.
insert into user_ticket (merchant_id, secret_hash, user_id, kind, issued_by, created_at, expires_at)
values ($1, $2, $3, $4, $6, clock_timestamp(), clock_timestamp() + make_interval(secs => $5))
returning expires_at;

-- name: void_tickets
-- Ways in that were handed out for somebody are good no more.
update user_ticket set used_at = clock_timestamp()
where merchant_id = $1 and user_id = $2 and kind <> 'recovery_code' and used_at is null;

-- name: void_issued
-- Those that somebody handed out are good no more.
update user_ticket set used_at = clock_timestamp()
where merchant_id = $1 and issued_by = $2 and used_at is null;

-- name: ticket_holder
-- Whom an invitation or a reset is for that is still good.
select t.user_id, u.masked_email, m.name as merchant_name
from user_ticket t
join user_account u on u.merchant_id = $1 and u.user_id = t.user_id and u.status <> 'disabled'
join merchant m on m.merchant_id = $1
where t.merchant_id = $1 and t.secret_hash = $2 and t.kind <> 'recovery_code' and t.used_at is null
  and t.expires_at > clock_timestamp();

-- name: use_ticket
-- It was good once.
update user_ticket set used_at = clock_timestamp()
where merchant_id = $1 and secret_hash = $2 and used_at is null
  and (expires_at is null or expires_at > clock_timestamp())
returning user_id;

-- name: merchant_name
-- What the merchant is called.
select name from merchant where merchant_id = $1;
