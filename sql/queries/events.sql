-- The feed of events.

-- name: after
-- What has the numbers after one, at most $3, in their order. The segments are found by their last number, and what each
-- entry is by its key, one by one.
select n.seq, n.id, n.sealed_at, o.kind, o.status, o.card_id, o.target_id, coalesce(o.amount, 0) as amount, coalesce(o.currency, m.currency) as currency,
  o.store_id, o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.business_date, o.occurred_at, o.recorded_at,
  o.api_key_id, o.user_id, o.session_id, o.details ->> 'code' as refusal, g.version, g.status as card_status,
  coalesce(g.principal_delta, 0) as principal_delta, coalesce(g.bonus_delta, 0) as bonus_delta,
  coalesce(g.principal, 0) as principal, coalesce(g.bonus, 0) as bonus, a.action, a.object_id, a.actor_kind, a.actor_id,
  a.session_id as actor_session_id, a.recorded_at as changed_at
from (
  select s.first_seq + e.n - 1 as seq, e.id, s.sealed_at
  from segment s cross join lateral unnest(s.entries) with ordinality e (id, n)
  where s.merchant_id = $1 and s.last_seq > $2 and s.first_seq + e.n - 1 > $2
  order by s.last_seq, e.n
  limit $3) n
left join lateral (
  select currency from merchant where merchant_id = $1 limit 1) m on true
left join lateral (
  select *, coalesce(decided_version, 0) + 1 as leg_version from operation
  where merchant_id = $1 and operation_id = n.id limit 1) o on true
left join lateral (
  select * from leg where merchant_id = $1 and card_id = o.card_id and version = o.leg_version
    and operation_id = o.operation_id limit 1) g on true
left join lateral (
  select * from audit_entry where merchant_id = $1 and audit_entry_id = n.id limit 1) a on true
order by n.seq;
