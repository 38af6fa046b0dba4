-- A ledger of any size, as the service would have written it: `verify` finds no breach in it.
--
-- Each card is issued, topped up once (one principal lot) and redeemed from $4 times. Rows of a card carry its number as
-- the body of their ids; a version's time is its number of seconds after a common beginning. Ids sort before every real one, as
-- older ids do. Arguments: $1 merchants, $2 first card, $3 last card, $4 redemptions of each card.

-- name: without_triggers
-- Foreign keys are not checked while seeding (`verify` checks them afterwards): for superusers, this session only.
select set_config('session_replication_role', 'replica', false), set_config('synchronous_commit', 'off', false);

-- name: cards
insert into card (merchant_id, card_id, card_number, template_id, template_version, currency, status, version,
  principal, bonus, activated_at, last_operation_at, created_at)
select t.merchant_id, 'crd_' || lpad(i::text, 26, '0'), '8801' || lpad(i::text, 12, '0'), t.template_id, 1, 'CNY',
  'active', 2 + $4::int, 1000000000 - $4::int, 0, timestamptz '2026-01-01', timestamptz '2026-01-01' + (1 + $4::int) *
  interval '1 second', timestamptz '2026-01-01'
from card_template t, generate_series($2::int, $3::int) i
where t.merchant_id = any ($1::text[]);

-- name: lots
insert into lot (merchant_id, card_id, lot_id, account, unit, amount, remaining, operation_id, created_at)
select t.merchant_id, 'crd_' || lpad(i::text, 26, '0'), 'lot_' || lpad(i::text, 26, '0'), 'principal', 'CNY',
  1000000000, 1000000000 - $4::int, 'opn_' || lpad(i::text, 20, '0') || '000002',
  timestamptz '2026-01-01' + interval '1 second'
from card_template t, generate_series($2::int, $3::int) i
where t.merchant_id = any ($1::text[]);

-- name: operations
insert into operation (merchant_id, operation_id, kind, status, card_id, amount, currency, store_id, legal_entity,
  request_no, business_date, occurred_at, recorded_at, decided_at, decided_version, api_key_id, details)
select s.merchant_id,
  case when v > 2 then 'rdm_' else 'opn_' end || lpad(i::text, 20, '0') || lpad(v::text, 6, '0'),
  case v when 1 then 'issue' when 2 then 'top_up' else 'redeem' end, 'accepted', 'crd_' || lpad(i::text, 26, '0'),
  case v when 1 then 0 when 2 then 1000000000 else 1 end, 'CNY', s.store_id, s.legal_entity,
  case when v > 2 then 'S-' || i || '-' || v end, date '2026-01-01', at.t, at.t, at.t, nullif(v - 1, 0), k.api_key_id,
  case v when 2 then '{"tender": "cash", "payment_reference": null}'::jsonb end
from store s join api_key k using (merchant_id), generate_series($2::int, $3::int) i, generate_series(1, 2 + $4::int) v,
  lateral (select timestamptz '2026-01-01' + (v - 1) * interval '1 second' as t) at
where s.merchant_id = any ($1::text[]);

-- name: postings
insert into posting (merchant_id, operation_id, posting_no, from_account, to_account, unit, amount, card_id, lot_id,
  legal_entity)
select s.merchant_id,
  case when v > 2 then 'rdm_' else 'opn_' end || lpad(i::text, 20, '0') || lpad(v::text, 6, '0'), 1,
  case v when 2 then 'tender' else 'principal' end, case v when 2 then 'principal' else 'sales' end, 'CNY',
  case v when 2 then 1000000000 else 1 end, 'crd_' || lpad(i::text, 26, '0'), 'lot_' || lpad(i::text, 26, '0'),
  s.legal_entity
from store s, generate_series($2::int, $3::int) i, generate_series(2, 2 + $4::int) v
where s.merchant_id = any ($1::text[]);

-- name: legs
insert into leg (merchant_id, card_id, version, operation_id, status, principal_delta, bonus_delta, principal, bonus)
select m, 'crd_' || lpad(i::text, 26, '0'), v,
  case when v > 2 then 'rdm_' else 'opn_' end || lpad(i::text, 20, '0') || lpad(v::text, 6, '0'), 'active',
  case v when 1 then 0 when 2 then 1000000000 else -1 end, 0, case v when 1 then 0 else 1000000002 - v end, 0
from unnest($1::text[]) m, generate_series($2::int, $3::int) i, generate_series(1, 2 + $4::int) v;

-- name: redemptions
insert into redemption (merchant_id, redemption_id, card_id, store_id, request_no, status, version, currency, amount,
  refunded, lines, refunded_lines)
select s.merchant_id, 'rdm_' || lpad(i::text, 20, '0') || lpad(v::text, 6, '0'), 'crd_' || lpad(i::text, 26, '0'),
  s.store_id, 'S-' || i || '-' || v, 'captured', 1, 'CNY', 1, 0, '[]', '{}'
from store s, generate_series($2::int, $3::int) i, generate_series(3, 2 + $4::int) v
where s.merchant_id = any ($1::text[]);

-- name: keys
-- An answer is about as long as a real one.
insert into idempotency_key (merchant_id, key_hash, fingerprint, outcome, operation_id, http_status, answer, created_at)
select m, decode(md5(m || i || '/' || v), 'hex'), decode(md5(i || '-' || v), 'hex'), 'accepted',
  case when v > 2 then 'rdm_' else 'opn_' end || lpad(i::text, 20, '0') || lpad(v::text, 6, '0'), 201,
  convert_to(repeat(md5(i::text), 18), 'UTF8'), timestamptz '2026-01-01'
from unnest($1::text[]) m, generate_series($2::int, $3::int) i, generate_series(1, 2 + $4::int) v;

-- name: counters
-- Takes the merchants alone.
update template_counter t
set used = (select count(*) from card c where c.merchant_id = t.merchant_id and c.template_id = t.template_id)
where t.merchant_id = any ($1::text[]) and t.counter = 'cards_issued';

-- name: redeemed
-- How many redemptions of a run, by the word their request numbers begin with, these merchants have.
select count(*) from store s
join redemption r on r.merchant_id = s.merchant_id and r.store_id = s.store_id
  and r.request_no >= $2::text || '-' and r.request_no < $2::text || '.'
where s.merchant_id = any ($1::text[]);

-- name: recorded
-- How many operations a merchant has up to an instant.
select count(*) from operation where merchant_id = $1 and recorded_at <= $2;

-- name: columns
-- A table's columns in their order.
select attname::text from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
order by attnum;
