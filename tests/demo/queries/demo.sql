-- The ledger's side of the demo's books: $1 is the merchant.

-- name: flows
-- What has moved, per flow and account, from the postings.
select flow, count(distinct operation_id) as operations,
  coalesce(sum(amount) filter (where account = 'principal'), 0)::bigint as principal,
  coalesce(sum(amount) filter (where account = 'bonus'), 0)::bigint as bonus
from (
  select p.operation_id, p.amount,
    case when p.to_account in ('principal', 'bonus') then p.to_account else p.from_account end as account,
    case
      when o.kind <> 'reversal' then o.kind
      when p.to_account in ('tender', 'promotion') then 'top_up_reversed'
      else 'redeem_reversed' end as flow
  from posting p
  join operation o on o.merchant_id = $1 and o.operation_id = p.operation_id
  where p.merchant_id = $1) moved
group by flow;

-- name: due
-- Lapsed by now but not posted yet: nothing has touched the card since.
select coalesce(sum(l.remaining) filter (where l.account = 'principal'), 0)::bigint as principal,
  coalesce(sum(l.remaining) filter (where l.account = 'bonus'), 0)::bigint as bonus
from lot l
join merchant m on m.merchant_id = $1
where l.merchant_id = $1 and l.expires_at <= coalesce(m.test_now, clock_timestamp());

-- name: cards
-- How many cards there are.
select count(*) from card where merchant_id = $1;
