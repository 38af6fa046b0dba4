-- The invariants INV-D* as queries over a tenant's rows (design section 3). Each returns what breaks it, at most 100
-- rows of (subject, detail), takes merchant_id as $1, and is named after its invariant: d4_chain and d4_card are both
-- INV-D4.
-- Every one is an aggregate or a join of whole tables, so that ten million operations cost a few scans each.

-- name: operations
-- How many operations a tenant has.
select count(*) from operation where merchant_id = $1;

-- name: d1_postings
-- Each posting moves value between a card account and the outside, in the card's unit and in a way its kind allows.
select p.operation_id || '/' || p.posting_no as subject,
  format('%s posts %s %s from %s to %s', o.kind, p.amount, p.unit, p.from_account, p.to_account) as detail
from posting p
join operation o on o.merchant_id = $1 and o.operation_id = p.operation_id
left join card c on c.merchant_id = $1 and c.card_id = p.card_id
where p.merchant_id = $1 and (
  p.unit is distinct from c.currency or p.unit is distinct from o.currency or p.card_id is distinct from o.card_id
  or o.status <> 'accepted' or p.amount <= 0
  or (o.kind, p.from_account, p.to_account) not in (values
    ('top_up', 'tender', 'principal'), ('top_up', 'promotion', 'bonus'),
    ('redeem', 'principal', 'sales'), ('redeem', 'bonus', 'sales'),
    ('refund', 'sales', 'principal'), ('refund', 'sales', 'bonus'),
    ('void', 'sales', 'principal'), ('void', 'sales', 'bonus'),
    ('reversal', 'sales', 'principal'), ('reversal', 'sales', 'bonus'),
    ('reversal', 'principal', 'tender'), ('reversal', 'bonus', 'promotion'),
    ('lapse', 'principal', 'lapsed'), ('lapse', 'bonus', 'lapsed')))
limit 100;

-- name: d1_amounts
-- An accepted operation's postings add up to its amount (what the merchant gives on top is not part of it).
select coalesce(o.operation_id, p.operation_id) as subject,
  format('%s of %s has postings of %s', coalesce(o.kind, 'no operation'), o.amount, coalesce(p.amount, 0)) as detail
from (select operation_id, kind, amount from operation where merchant_id = $1 and status = 'accepted') o
full join (
  select operation_id,
    coalesce(sum(amount) filter (where from_account <> 'promotion' and to_account <> 'promotion'), 0) as amount
  from posting where merchant_id = $1 group by operation_id) p using (operation_id)
where o.amount is distinct from coalesce(p.amount, 0)
limit 100;

-- name: d2_cards
-- What a card stores is the sum of its postings, per account.
select card_id as subject,
  format('principal %s, postings %s; bonus %s, postings %s', c.principal, coalesce(p.principal, 0), c.bonus,
    coalesce(p.bonus, 0)) as detail
from (select card_id, principal, bonus from card where merchant_id = $1) c
full join (
  select card_id,
    coalesce(sum(case when to_account = 'principal' then amount when from_account = 'principal' then -amount end), 0)
      as principal,
    coalesce(sum(case when to_account = 'bonus' then amount when from_account = 'bonus' then -amount end), 0) as bonus
  from posting where merchant_id = $1 group by card_id) p using (card_id)
where c.principal is distinct from coalesce(p.principal, 0) or c.bonus is distinct from coalesce(p.bonus, 0)
limit 100;

-- name: d2_legs
-- What a leg says an operation changed on a card is the sum of its postings there, per account.
select coalesce(g.operation_id, p.operation_id) || '/' || coalesce(g.card_id, p.card_id) as subject,
  format('leg %s and %s, postings %s and %s', g.principal_delta, g.bonus_delta, coalesce(p.principal, 0),
    coalesce(p.bonus, 0)) as detail
from (select operation_id, card_id, principal_delta, bonus_delta from leg where merchant_id = $1) g
full join (
  select operation_id, card_id,
    coalesce(sum(case when to_account = 'principal' then amount when from_account = 'principal' then -amount end), 0)
      as principal,
    coalesce(sum(case when to_account = 'bonus' then amount when from_account = 'bonus' then -amount end), 0) as bonus
  from posting where merchant_id = $1 group by operation_id, card_id) p using (operation_id, card_id)
where g.principal_delta is distinct from coalesce(p.principal, 0)
  or g.bonus_delta is distinct from coalesce(p.bonus, 0)
limit 100;

-- name: d3_liability
-- Per unit, what came in less what went out is what the cards hold together.
with outside (unit, left_over) as (
  select unit, sum(case when from_account in ('tender', 'promotion', 'sales', 'lapsed') then amount else 0 end
                 - case when to_account in ('tender', 'promotion', 'sales', 'lapsed') then amount else 0 end)
  from posting where merchant_id = $1 group by unit),
held (unit, balance) as (
  select currency, sum(principal + bonus) from card where merchant_id = $1 group by currency)
select unit as subject,
  format('in less out is %s, the cards hold %s', coalesce(left_over, 0), coalesce(balance, 0)) as detail
from outside full join held using (unit)
where coalesce(left_over, 0) <> coalesce(balance, 0)
limit 100;

-- name: d4_chain
-- A card's versions are 1, 2, 3 … without gap, and each balance is the one before plus the change.
select card_id || '/' || version as subject,
  format('after version %s (%s, %s): %s %s to %s, %s to %s', version_before, principal_before, bonus_before, version,
    principal_delta, principal, bonus_delta, bonus) as detail
from (
  select card_id, version, principal_delta, bonus_delta, principal, bonus,
    lag(version, 1, 0::bigint) over chain as version_before,
    lag(principal, 1, 0::bigint) over chain as principal_before,
    lag(bonus, 1, 0::bigint) over chain as bonus_before
  from leg where merchant_id = $1
  window chain as (partition by card_id order by version)) g
where version <> version_before + 1 or principal <> principal_before + principal_delta
  or bonus <> bonus_before + bonus_delta or principal < 0 or bonus < 0
limit 100;

-- name: d4_card
-- The last leg is the card: version, balances, status and time.
select coalesce(c.card_id, g.card_id) as subject,
  format('card: version %s, %s, %s, %s, %s; last leg: version %s, %s, %s, %s, %s', c.version, c.principal, c.bonus,
    c.status, c.last_operation_at, g.version, g.principal, g.bonus, g.status, o.decided_at) as detail
from (
  select card_id, version, principal, bonus, status, last_operation_at from card where merchant_id = $1) c
full join (
  select distinct on (card_id) card_id, version, principal, bonus, status, operation_id
  from leg where merchant_id = $1 order by card_id, version desc) g using (card_id)
left join operation o on o.merchant_id = $1 and o.operation_id = g.operation_id
where (c.version, c.principal, c.bonus, c.status, c.last_operation_at)
  is distinct from (g.version, g.principal, g.bonus, g.status, o.decided_at)
limit 100;

-- name: d4_operations
-- An accepted operation on a card has one leg there, one version above the one it was decided on; a refused one has
-- none.
select coalesce(o.operation_id, g.operation_id) as subject,
  format('%s %s on %s decided on version %s has the leg %s/%s', o.status, o.kind, o.card_id, o.decided_version,
    g.card_id, g.version) as detail
from (
  select operation_id, kind, status, card_id, decided_version from operation
  where merchant_id = $1 and status = 'accepted' and card_id is not null) o
full join (select operation_id, card_id, version from leg where merchant_id = $1) g using (operation_id)
where g.card_id is distinct from o.card_id
  or g.version is distinct from
    case o.kind when 'issue' then coalesce(o.decided_version, 0) else o.decided_version end + 1
limit 100;

-- name: d6_targets
-- An operation that undoes something points at an accepted redemption or top-up of the same card and unit, and a
-- reversal, refund or void is never undone.
select u.operation_id as subject,
  format('%s on %s of %s %s points at %s %s on %s of %s %s', u.kind, u.card_id, u.amount, u.currency, t.status, t.kind,
    t.card_id, t.amount, t.currency) as detail
from operation u
left join operation t on t.merchant_id = $1 and t.operation_id = u.target_id
where u.merchant_id = $1 and u.status = 'accepted'
  and case
    when u.kind not in ('refund', 'void', 'reversal') then u.target_id is not null
    -- A reversal that had nothing to undo touches no card.
    when u.kind = 'reversal' and u.card_id is null then u.amount <> 0
    else t.status is distinct from 'accepted' or t.card_id is distinct from u.card_id
      or t.currency is distinct from u.currency or u.amount > t.amount
      or not coalesce(t.kind = 'redeem' or (t.kind = 'top_up' and u.kind = 'reversal'), false)
  end
limit 100;

-- name: d6_redemptions
-- A redemption is its operation; what was given back is the sum of what undid it, never above it, and its status
-- agrees.
select coalesce(r.redemption_id, o.operation_id) as subject,
  format('redemption %s of %s, refunded %s, version %s; operation of %s, given back %s in %s', r.status, r.amount,
    r.refunded, r.version, o.amount, coalesce(u.amount, 0), coalesce(u.times, 0)) as detail
from (select * from redemption where merchant_id = $1) r
full join (
  select operation_id, card_id, store_id, request_no, currency, amount from operation
  where merchant_id = $1 and kind = 'redeem' and status = 'accepted') o on o.operation_id = r.redemption_id
left join (
  select target_id, sum(amount) as amount, count(*) as times, min(kind) as kind from operation
  where merchant_id = $1 and status = 'accepted' and card_id is not null and target_id is not null
  group by target_id) u on u.target_id = r.redemption_id
where (r.card_id, r.store_id, r.request_no, r.currency, r.amount)
    is distinct from (o.card_id, o.store_id, o.request_no, o.currency, o.amount)
  or r.refunded is distinct from coalesce(u.amount, 0) or r.refunded not between 0 and r.amount
  or r.version is distinct from coalesce(u.times, 0) + 1
  or r.status is distinct from case
    when r.refunded = 0 then 'captured'
    when r.refunded < r.amount then 'partly_refunded'
    when u.times = 1 and u.kind in ('void', 'reversal') then 'voided'
    else 'refunded' end
limit 100;

-- name: d6_lots
-- A redemption gives each lot and each account no more than it took from it (a lot that lapsed meanwhile has a
-- successor, made by the refund); a reversed top-up takes back exactly what it credited.
with undone as (
  select t.operation_id, t.kind, p.lot_id, p.amount, l.operation_id = u.operation_id as is_successor,
    case when p.to_account in ('principal', 'bonus') then p.to_account else p.from_account end as account
  from operation u
  join operation t on t.merchant_id = $1 and t.operation_id = u.target_id
  join posting p on p.merchant_id = $1 and p.operation_id = u.operation_id
  left join lot l on l.merchant_id = $1 and l.card_id = p.card_id and l.lot_id = p.lot_id
  where u.merchant_id = $1 and u.status = 'accepted' and u.target_id is not null),
both_ways as (
  select operation_id, kind, account, lot_id, 0 as moved, amount as undone,
    case when is_successor then 0 else amount end as undone_in_place
  from undone
  union all
  select t.operation_id, t.kind,
    case when p.to_account in ('principal', 'bonus') then p.to_account else p.from_account end, p.lot_id, p.amount, 0, 0
  from (select distinct operation_id, kind from undone) t
  join posting p on p.merchant_id = $1 and p.operation_id = t.operation_id),
summed as (
  select operation_id, kind, account, lot_id, sum(moved) as moved,
    case when grouping(lot_id) = 1 then sum(undone) else sum(undone_in_place) end as undone
  from both_ways
  group by grouping sets ((operation_id, kind, account, lot_id), (operation_id, kind, account)))
select operation_id as subject,
  format('%s of %s: %s moved, %s undone', kind, coalesce(lot_id, account), moved, undone) as detail
from summed
where undone > moved or (kind = 'top_up' and undone <> moved)
limit 100;

-- name: d7_lots
-- A lot's amount is what its own operation credited, what remains is the sum of its postings, within 0 and the amount.
select l.lot_id as subject,
  format('%s lot of %s with %s left; postings leave %s', l.account, l.amount, l.remaining,
    coalesce(sum(case when p.to_account = l.account then p.amount else -p.amount end), 0)) as detail
from lot l
left join posting p on p.merchant_id = $1 and p.card_id = l.card_id and p.lot_id = l.lot_id
where l.merchant_id = $1
group by l.merchant_id, l.card_id, l.lot_id
having l.remaining not between 0 and l.amount
  or l.remaining <> coalesce(sum(case when p.to_account = l.account then p.amount else -p.amount end), 0)
  or l.amount is distinct from
    sum(p.amount) filter (where p.operation_id = l.operation_id and p.to_account = l.account)
  or bool_or(l.account <> case when p.to_account in ('principal', 'bonus') then p.to_account else p.from_account end)
  or bool_or(l.unit <> p.unit)
limit 100;

-- name: d7_cards
-- What remains in a card's lots is its balance, per account.
select card_id as subject,
  format('principal %s, lots %s; bonus %s, lots %s', c.principal, coalesce(l.principal, 0), c.bonus,
    coalesce(l.bonus, 0)) as detail
from (select card_id, principal, bonus from card where merchant_id = $1) c
full join (
  select card_id, coalesce(sum(remaining) filter (where account = 'principal'), 0) as principal,
    coalesce(sum(remaining) filter (where account = 'bonus'), 0) as bonus
  from lot where merchant_id = $1 group by card_id) l using (card_id)
where c.principal is distinct from coalesce(l.principal, 0) or c.bonus is distinct from coalesce(l.bonus, 0)
limit 100;

-- name: d7_lapsed
-- From the instant a lot lapses nothing moves on it but the lapse itself, and that leaves nothing.
select p.operation_id || '/' || p.lot_id as subject,
  format('%s at %s moves %s to %s; the lot lapses at %s and holds %s', o.kind, o.decided_at, p.amount, p.to_account,
    l.expires_at, l.remaining) as detail
from posting p
join operation o on o.merchant_id = $1 and o.operation_id = p.operation_id
join lot l on l.merchant_id = $1 and l.card_id = p.card_id and l.lot_id = p.lot_id
where p.merchant_id = $1
  and ((p.to_account = 'lapsed') <> coalesce(o.decided_at >= l.expires_at, false)
    or (p.to_account = 'lapsed' and l.remaining <> 0))
limit 100;

-- name: d9_moves
-- Every change of a card's status is a move of the table ($2 state, $3 move, $4 state after), and value is topped up or
-- redeemed only while the card is active and valid, and never moves on a card that was not activated.
with chain as (
  select g.card_id, g.version, g.status, g.principal_delta, g.bonus_delta, o.kind, o.decided_at,
    lag(g.status) over (partition by g.card_id order by g.version) as status_before
  from leg g
  join operation o on o.merchant_id = $1 and o.operation_id = g.operation_id
  where g.merchant_id = $1)
select g.card_id || '/' || g.version as subject,
  format('%s from %s to %s at %s, card valid until %s', g.kind, g.status_before, g.status, g.decided_at, c.expires_at)
    as detail
from chain g
left join card c on c.merchant_id = $1 and c.card_id = g.card_id
left join unnest($2::text[], $3::text[], $4::text[]) as m (status, move, status_after)
  on m.status = g.status_before and m.move = g.kind
where case
    when g.kind = 'issue' then g.version <> 1 or g.status not in ('created', 'active')
    when g.kind = any ($3::text[]) then g.status is distinct from m.status_after
    else g.status is distinct from g.status_before end
  or (g.kind in ('top_up', 'redeem') and (g.status_before is distinct from 'active' or g.decided_at >= c.expires_at))
  or ((g.principal_delta <> 0 or g.bonus_delta <> 0) and coalesce(g.status_before, 'created') = 'created')
limit 100;

-- name: d9_cards
-- A card that is not activated has no activation, every other one has.
select card_id as subject, format('%s, activated at %s', status, activated_at) as detail
from card where merchant_id = $1 and (status = 'created') <> (activated_at is null)
limit 100;

-- name: d10_keys
-- Each operation has one idempotency key, with the same outcome, and each key that is no tombstone has an operation.
select coalesce(o.operation_id, k.operation_id) as subject,
  format('operation %s, keys %s, outcome %s', coalesce(o.status, 'missing'), coalesce(k.keys, 0), k.outcome) as detail
from (select operation_id, status from operation where merchant_id = $1) o
full join (
  select operation_id, count(*) as keys, min(outcome) as outcome from idempotency_key
  where merchant_id = $1 and operation_id is not null group by operation_id) k using (operation_id)
where k.keys is distinct from 1 or k.outcome is distinct from o.status
limit 100;

-- name: d11_events
-- Every operation and every audit entry has one number, or waits for one; nothing else has.
with numbered as (
  select unnest(entries) as id from segment where merchant_id = $1
  union all
  select unnest(operations) from unsequenced where merchant_id = $1)
select coalesce(e.id, n.id) as subject,
  case when e.id is null then 'has a number, and is not there' else format('has %s numbers', coalesce(n.times, 0)) end
    as detail
from (
  select operation_id as id from operation where merchant_id = $1
  union all
  select audit_entry_id from audit_entry where merchant_id = $1) e
full join (select id, count(*) as times from numbered group by id) n using (id)
where (e.id is null or n.times is distinct from 1)
  -- What was posted before there were chains is taken in when the merchant's begins.
  and exists (select from chain_head where merchant_id = $1)
limit 100;

-- name: d11_order
-- Of one card the numbers are in the order of its versions.
select card_id || '/' || version as subject, format('has the number %s, the version before %s', seq, seq_before) as detail
from (
  select g.card_id, g.version, n.seq, lag(n.seq, 1, 0::bigint) over (partition by g.card_id order by g.version) as seq_before
  from leg g
  join (
    select e.id as operation_id, s.first_seq + e.n - 1 as seq
    from segment s cross join lateral unnest(s.entries) with ordinality e (id, n)
    where s.merchant_id = $1) n using (operation_id)
  where g.merchant_id = $1) o
where seq <= seq_before
limit 100;

-- name: d12_chain
-- The segments follow each other without a gap, each has the hash of its fields and of the one before, and the last is the
-- end of the chain.
select 'segment ' || s.segment_no as subject, 'does not follow the one before it' as detail
from (
  select *, row_number() over chain as place, lag(last_seq, 1, 0::bigint) over chain as seq_before,
    lag(hash, 1, decode(repeat('00', 32), 'hex')) over chain as hash_before
  from segment where merchant_id = $1
  window chain as (order by segment_no)) s
where s.segment_no <> s.place or s.first_seq <> s.seq_before + 1
  or s.hash <> chain_hash_v1(s.merchant_id, s.segment_no, s.first_seq, s.last_seq, s.sealed_at, s.digest, s.hash_before)
union all
select 'segment ' || coalesce(s.segment_no, h.segment_no), 'is not the end of the chain'
from (select segment_no, last_seq, hash from chain_head where merchant_id = $1 and segment_no > 0) h
full join (
  select segment_no, last_seq, hash from segment where merchant_id = $1 order by segment_no desc limit 1) s using (segment_no)
where (h.last_seq, h.hash) is distinct from (s.last_seq, s.hash)
limit 100;

-- name: d12_sealed
-- What is sealed is as it was: each operation with its postings and its leg, and each audit entry.
select 'segment ' || segment_no as subject, format('numbers %s to %s are not what was sealed', first_seq, last_seq) as detail
from segment
where merchant_id = $1 and digest <> sha256(convert_to(coalesce(chain_lines_v1($1, entries), ''), 'UTF8'))
limit 100;

-- name: d13_references
-- What a row of a tenant names is there in the same tenant, also where no foreign key says so.
select reference as subject, name as detail from (
  select 'api_key.store_id' as reference, a.store_id as name from api_key a
    left join store s on s.merchant_id = $1 and s.store_id = a.store_id
    where a.merchant_id = $1 and a.store_id is not null and s.store_id is null
  union all
  select 'card.template_id', c.template_id || '/' || c.template_version from card c
    left join template_version v
      on v.merchant_id = $1 and v.template_id = c.template_id and v.version = c.template_version
    where c.merchant_id = $1 and v.template_id is null
  union all
  select 'operation.store_id', o.store_id from operation o
    left join store s on s.merchant_id = $1 and s.store_id = o.store_id
    where o.merchant_id = $1 and o.store_id is not null and s.store_id is null
  union all
  select 'operation.api_key_id', o.api_key_id from operation o
    left join api_key a on a.merchant_id = $1 and a.api_key_id = o.api_key_id
    where o.merchant_id = $1 and o.api_key_id is not null and a.api_key_id is null
  union all
  select 'operation.user_id', o.user_id from operation o
    left join user_account u on u.merchant_id = $1 and u.user_id = o.user_id
    where o.merchant_id = $1 and o.user_id is not null and u.user_id is null
  union all
  select 'operation.session_id', o.session_id from operation o
    left join user_session u on u.merchant_id = $1 and u.session_id = o.session_id and u.user_id = o.user_id
    where o.merchant_id = $1 and o.session_id is not null and u.session_id is null
  union all
  select 'operation.card_id', o.card_id from operation o
    left join card c on c.merchant_id = $1 and c.card_id = o.card_id
    where o.merchant_id = $1 and o.card_id is not null and c.card_id is null
  union all
  select 'operation.target_id', o.target_id from operation o
    left join operation t on t.merchant_id = $1 and t.operation_id = o.target_id
    where o.merchant_id = $1 and o.target_id is not null and t.operation_id is null
  union all
  select 'posting.operation_id', p.operation_id from posting p
    left join operation o on o.merchant_id = $1 and o.operation_id = p.operation_id
    where p.merchant_id = $1 and o.operation_id is null
  union all
  select 'posting.lot_id', p.card_id || '/' || p.lot_id from posting p
    left join lot l on l.merchant_id = $1 and l.card_id = p.card_id and l.lot_id = p.lot_id
    where p.merchant_id = $1 and l.lot_id is null
  union all
  select 'lot.card_id', l.card_id from lot l
    left join card c on c.merchant_id = $1 and c.card_id = l.card_id
    where l.merchant_id = $1 and c.card_id is null
  union all
  select 'lot.operation_id', l.operation_id from lot l
    left join operation o on o.merchant_id = $1 and o.operation_id = l.operation_id
    where l.merchant_id = $1 and o.operation_id is null
  union all
  select 'redemption.store_id', r.store_id from redemption r
    left join store s on s.merchant_id = $1 and s.store_id = r.store_id
    where r.merchant_id = $1 and s.store_id is null
  union all
  select 'redemption.card_id', r.card_id from redemption r
    left join card c on c.merchant_id = $1 and c.card_id = r.card_id
    where r.merchant_id = $1 and c.card_id is null) dangling
limit 100;

-- name: d15_counters
-- A template's counter of issued cards is the number of its cards, and never above its cap.
select template_id as subject, format('counted %s, cards %s, cap %s', t.used, coalesce(c.cards, 0), t.cap) as detail
from (select template_id, used, cap from template_counter where merchant_id = $1 and counter = 'cards_issued') t
full join (select template_id, count(*) as cards from card where merchant_id = $1 group by template_id) c
  using (template_id)
where t.used is distinct from coalesce(c.cards, 0) or t.used > t.cap
limit 100;
