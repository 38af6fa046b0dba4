-- What is owed and how it moved, from postings and lots. $1 is the merchant.
--
-- $2 says what the lines are by: account, template or store. What is not asked for is not joined: its condition is
-- false before the first row.

-- name: liability
-- What was owed at $3: what lots hold now, without what has moved since.
with since as (
  select p.card_id, p.lot_id,
    sum(case when p.to_account in ('principal', 'bonus') then p.amount else -p.amount end) as moved
  from operation o
  join posting p on p.merchant_id = o.merchant_id and p.operation_id = o.operation_id
  where o.merchant_id = $1 and o.recorded_at > $3
  group by p.card_id, p.lot_id)
select l.account, l.unit as currency, c.template_id, s.store_id,
  sum(l.remaining - coalesce(m.moved, 0))::bigint as value,
  coalesce(sum(l.remaining - coalesce(m.moved, 0)) filter (where l.expires_at <= $3), 0)::bigint as expired
from lot l
left join since m on m.card_id = l.card_id and m.lot_id = l.lot_id
left join card c on $2 = 'template' and c.merchant_id = l.merchant_id and c.card_id = l.card_id
left join operation s on $2 = 'store' and s.merchant_id = l.merchant_id and s.operation_id = l.operation_id
where l.merchant_id = $1
group by l.account, l.unit, c.template_id, s.store_id
having sum(l.remaining - coalesce(m.moved, 0)) <> 0
order by l.account desc, l.unit, c.template_id, s.store_id;

-- name: flows
-- What moved after $3, up to and including $4, by kind of operation.
select l.account, l.unit as currency, c.template_id, s.store_id, o.kind, count(distinct o.operation_id) as operations,
  coalesce(sum(p.amount) filter (where p.to_account in ('principal', 'bonus')), 0)::bigint as value_in,
  coalesce(sum(p.amount) filter (where p.from_account in ('principal', 'bonus')), 0)::bigint as value_out
from operation o
join posting p on p.merchant_id = o.merchant_id and p.operation_id = o.operation_id
join lot l on l.merchant_id = p.merchant_id and l.card_id = p.card_id and l.lot_id = p.lot_id
left join card c on $2 = 'template' and c.merchant_id = l.merchant_id and c.card_id = l.card_id
left join operation s on $2 = 'store' and s.merchant_id = l.merchant_id and s.operation_id = l.operation_id
where o.merchant_id = $1 and o.recorded_at > $3 and o.recorded_at <= $4
group by l.account, l.unit, c.template_id, s.store_id, o.kind
order by o.kind;

-- name: settlements
-- What was sold at one store and used at another after $2, up to and including $3. What is given back counts for the
-- store of the redemption, wherever the refund was made.
select s.store_id as sold_store_id, u.store_id as used_store_id, l.account, l.unit as currency,
  coalesce(sum(p.amount) filter (where p.from_account in ('principal', 'bonus')), 0)::bigint as redeemed,
  coalesce(sum(p.amount) filter (where p.to_account in ('principal', 'bonus')), 0)::bigint as given_back
from operation o
join redemption u on u.merchant_id = o.merchant_id
  and u.redemption_id = case when o.kind = 'redeem' then o.operation_id else o.target_id end
join posting p on p.merchant_id = o.merchant_id and p.operation_id = o.operation_id
join lot l on l.merchant_id = p.merchant_id and l.card_id = p.card_id and l.lot_id = p.lot_id
join operation s on s.merchant_id = l.merchant_id and s.operation_id = l.operation_id
where o.merchant_id = $1 and o.recorded_at > $2 and o.recorded_at <= $3
  and o.kind in ('redeem', 'refund', 'void', 'reversal')
group by s.store_id, u.store_id, l.account, l.unit
order by s.store_id, u.store_id, l.account desc, l.unit;

-- name: operations
-- The operations after the place $2, $3 (an instant and an id) up to and including $4, at most $5, in the order of the
-- export. They are found and ordered by operation_recorded_at; what belongs to each is then looked up by key, one by
-- one (the limits keep it so), so that the first rows are there at once and none is sorted. The leg's version is
-- reckoned inside: row-level security lets no sum, which could fail, into the search of an index.
select o.operation_id, o.kind, o.status, o.recorded_at, o.occurred_at, o.business_date, o.store_id, o.legal_entity,
  o.terminal_id, o.operator, o.shift, o.receipt_no, o.request_no, c.card_number as card, o.card_id, o.amount,
  coalesce(o.currency, m.currency) as currency, g.principal_delta, g.bonus_delta, o.target_id as undoes,
  o.details ->> 'tender' as tender, o.details ->> 'payment_reference' as payment_reference,
  case when o.status = 'refused' then o.details ->> 'code' end as refusal,
  case when o.status = 'refused' then (
    select string_agg(r.value ->> 'code', ' ' order by r.ordinality)
    from jsonb_array_elements(o.details -> 'reasons') with ordinality r) end as reasons
from (
  select *, coalesce(decided_version, 0) + 1 as leg_version from operation
  where merchant_id = $1 and (recorded_at, operation_id) > ($2, $3) and recorded_at <= $4
  order by recorded_at, operation_id
  limit $5) o
left join lateral (
  select currency from merchant where merchant_id = o.merchant_id limit 1) m on true
left join lateral (
  select card_number from card where merchant_id = o.merchant_id and card_id = o.card_id limit 1) c on true
left join lateral (
  select principal_delta, bonus_delta from leg
  where merchant_id = o.merchant_id and card_id = o.card_id and version = o.leg_version
    and operation_id = o.operation_id limit 1) g on true
order by o.recorded_at, o.operation_id;
