-- Rules of authority, what waits for a second person, and what employees did in a day.

-- name: authority
-- The rules as they are now.
select version, rules::text from authority where merchant_id = $1 order by version desc limit 1;

-- name: set_authority
-- Other rules.
insert into authority (merchant_id, version, rules, made_by, made_at)
values ($1, $2, $3::jsonb, $4, clock_timestamp());

-- name: rulers
-- How many people could agree to other rules: each of them needs another one.
select count(distinct u.user_id) from user_account u
join role_grant g on g.merchant_id = $1 and g.user_id = u.user_id and g.revoked_at is null
where u.merchant_id = $1 and u.status = 'active' and g.role = any ($2::text[]) and g.area_id is null
  and g.store_id is null;

-- name: responsible
-- Who is behind an API key: the person that made it, or else nobody but the key itself.
select case when created_by like 'usr\_%' then created_by else api_key_id end
from api_key where merchant_id = $1 and api_key_id = $2;

-- name: waiting
-- What this very request waits for, or was approved for; held until the transaction ends.
select approval_id as id, status, expires_at <= clock_timestamp() as is_late
from approval where merchant_id = $1 and responsible_id = $2 and digest = $3 and closed_at is null
for no key update;

-- name: was_used
-- Whether this very request was approved and let through before.
select exists (
  select from approval where merchant_id = $1 and responsible_id = $2 and digest = $3 and status = 'used'
    and expires_at > clock_timestamp());

-- name: open
-- One more that waits.
insert into approval (merchant_id, approval_id, kind, status, responsible_id, actor_kind, actor_id, session_id, store_id,
  subject_id, amount, currency, request, digest, approvers, roles, opened_at, expires_at)
values ($1, $2, $3, 'open', $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13, $14, $15, clock_timestamp(),
  clock_timestamp() + make_interval(secs => $16));

-- name: supersede
-- What the same person asked of the same thing before is void.
update approval set status = 'void', closed_at = clock_timestamp()
where merchant_id = $1 and responsible_id = $2 and kind = $3 and subject_id = $4 and closed_at is null;

-- name: close
-- The end of one.
update approval set status = $3, closed_at = clock_timestamp()
where merchant_id = $1 and approval_id = $2 and closed_at is null;

-- name: approve
-- Whether enough people have agreed; it may be used then.
update approval a set status = 'approved'
where a.merchant_id = $1 and a.approval_id = $2 and a.status = 'open' and a.approvers <= (
  select count(*) from approval_decision d
  where d.merchant_id = $1 and d.approval_id = $2 and d.approved)
returning approval_id;

-- name: decide
-- What somebody says of it.
insert into approval_decision (merchant_id, approval_id, user_id, responsible_id, session_id, approved, note, decided_at)
values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp());

-- name: hold
-- One of them is nobody else's to decide until the transaction ends.
select responsible_id from approval where merchant_id = $1 and approval_id = $2 for no key update;

-- name: page
-- Those older than an id, newest first; with stores, those at one of them; with a status or an id, no others.
select a.approval_id as id, a.kind,
  case when a.closed_at is null and a.expires_at <= clock_timestamp() then 'expired' else a.status end as status,
  a.actor_kind, a.actor_id, a.session_id, a.store_id, a.subject_id, a.amount, a.currency, a.request::text,
  encode(a.digest, 'hex') as digest, a.approvers, a.roles, a.opened_at, a.expires_at,
  coalesce((
    select json_agg(json_build_object('user_id', d.user_id, 'approved', d.approved, 'note', d.note,
        'decided_at', d.decided_at) order by d.decided_at, d.user_id)
    from approval_decision d where d.merchant_id = $1 and d.approval_id = a.approval_id), '[]')::text as decisions
from approval a
where a.merchant_id = $1 and a.approval_id < $2
  and ($3::text[] is null or a.store_id = any ($3::text[]))
  and ($4::text is null or $4 = case when a.closed_at is null and a.expires_at <= clock_timestamp() then 'expired'
    else a.status end)
  and ($5::text is null or a.approval_id = $5)
order by a.approval_id desc limit $6;

-- name: key_known
-- Whether a request with this idempotency key has had its answer.
select exists (select from idempotency_key where merchant_id = $1 and key_hash = $2);

-- name: left_of_redemption
-- What can be given back of it, and as which version that is seen.
select (amount - refunded)::bigint as amount, currency, version from redemption where merchant_id = $1 and redemption_id = $2;

-- name: amount_of_operation
-- What an operation moved; that never changes.
select amount, currency, 0::bigint as version from operation where merchant_id = $1 and operation_id = $2;

-- name: business_clock
-- By which clock a store's days go.
select time_zone, day_cutoff from store where merchant_id = $1 and store_id = $2;

-- name: in_turn
-- What somebody does is looked at one by one.
select pg_advisory_xact_lock(hashtextextended($1::text || $2::text || $3::text, 1));

-- name: day_of
-- What an employee did before on a business day: amount and count.
select coalesce(sum(amount), 0)::bigint as amount, count(*) as count from employee_use
where merchant_id = $1 and employee = $2 and kind = $3 and business_date = $4 and key_hash <> $5;

-- name: note_use
-- It counts from now on, also if the ledger refuses it then; of what was asked under one key, the most.
insert into employee_use (merchant_id, employee, kind, business_date, key_hash, amount, used_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp())
on conflict (merchant_id, employee, kind, business_date, key_hash)
do update set amount = greatest(employee_use.amount, excluded.amount);
