-- A card's record: what it was issued under, what happened to it, what it holds. $1 is the merchant, $2 the card.

-- name: heading
-- What stands on top: the merchant's name, the contract.
select m.name as merchant_name, v.published_at, v.rules::text as rules
from card c
join merchant m on m.merchant_id = c.merchant_id
join template_version v on v.merchant_id = c.merchant_id and v.template_id = c.template_id
  and v.version = c.template_version
where c.merchant_id = $1 and c.card_id = $2;

-- name: lots
-- The credits that hold value, and the movement each came from: the leg after the version that it was decided on.
select l.lot_id as id, l.account, l.amount, l.remaining, l.expires_on, l.operation_id, o.kind,
  coalesce(o.decided_version, 0) + 1 as from_version
from lot l
join operation o on o.merchant_id = l.merchant_id and o.operation_id = l.operation_id
where l.merchant_id = $1 and l.card_id = $2 and l.remaining > 0
order by l.account desc, l.expires_at nulls last, l.lot_id;

-- name: totals
-- What each kind of operation added to the card and took from it, from the very lines that are shown.
select o.kind, count(*) as operations,
  coalesce(sum(g.principal_delta) filter (where g.principal_delta > 0), 0)::bigint as principal_in,
  -coalesce(sum(g.principal_delta) filter (where g.principal_delta < 0), 0)::bigint as principal_out,
  coalesce(sum(g.bonus_delta) filter (where g.bonus_delta > 0), 0)::bigint as bonus_in,
  -coalesce(sum(g.bonus_delta) filter (where g.bonus_delta < 0), 0)::bigint as bonus_out
from leg g
join operation o on o.merchant_id = g.merchant_id and o.operation_id = g.operation_id
where g.merchant_id = $1 and g.card_id = $2
group by o.kind
order by min(g.version);

-- name: movements
-- The movements after version $3, at most $4. Found and ordered by the leg's key; what belongs to each is looked up by
-- key, one by one (the limits keep it so), so that the first rows are there at once and none is sorted.
select g.version, g.operation_id, o.kind, o.recorded_at, o.occurred_at, o.business_date, o.store_id, o.legal_entity,
  o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, o.amount, o.target_id as undoes,
  t.version as undoes_version, o.details::text as details, r.lines::text as lines, p.lots::text as lots,
  g.principal_delta, g.bonus_delta, g.principal, g.bonus, g.status
from (
  select * from leg where merchant_id = $1 and card_id = $2 and version > $3
  order by version limit $4) g
left join lateral (
  select * from operation where merchant_id = g.merchant_id and operation_id = g.operation_id limit 1) o on true
left join lateral (
  select coalesce(decided_version, 0) + 1 as version from operation
  where merchant_id = g.merchant_id and operation_id = o.target_id limit 1) t on true
left join lateral (
  select lines from redemption where merchant_id = g.merchant_id and redemption_id = g.operation_id limit 1) r on true
left join lateral (
  select json_agg(json_build_object('lot_id', q.lot_id,
      'account', case when q.to_account in ('principal', 'bonus') then q.to_account else q.from_account end,
      'value', case when q.to_account in ('principal', 'bonus') then q.amount else -q.amount end)
    order by q.posting_no) as lots
  from posting q where q.merchant_id = g.merchant_id and q.operation_id = g.operation_id
    and q.card_id = g.card_id) p on true
order by g.version;

-- name: refusals
-- The refused attempts after the place $3, $4 (an instant and an id), at most $5.
select operation_id, kind, decided_version as at_version, recorded_at, business_date, store_id, legal_entity,
  terminal_id, operator, shift, receipt_no, request_no, amount, currency, target_id as undoes, details::text as details
from operation
where merchant_id = $1 and card_id = $2 and status = 'refused' and (recorded_at, operation_id) > ($3, $4)
order by recorded_at, operation_id limit $5;

-- name: refusal_count
-- How many attempts were refused.
select count(*) from operation where merchant_id = $1 and card_id = $2 and status = 'refused';

-- name: stores
-- Stores by their ids ($2).
select store_id as id, name, time_zone from store where merchant_id = $1 and store_id = any ($2::text[])
order by store_id;
