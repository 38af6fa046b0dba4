-- Card templates and their published versions.

-- name: publish
-- Template, version 1 and its counter, and a new epoch for all who remember the tenant; nothing if it is suspended.
with merchant_epoch as (
  update merchant set epoch = epoch + 1 where merchant_id = $1 and status = 'active'
  returning coalesce(test_now, clock_timestamp()) as clock),
template as (
  insert into card_template (merchant_id, template_id, created_at) select $1, $2, clock from merchant_epoch
  returning merchant_id, template_id, created_at),
counter as (
  insert into template_counter (merchant_id, template_id, counter, cap)
  select merchant_id, template_id, 'cards_issued', $4::bigint from template)
insert into template_version (merchant_id, template_id, version, status, rules, published_at)
select merchant_id, template_id, 1, 'published', $3::jsonb, created_at from template
returning template_id, version, rules::text as rules, published_at;

-- name: latest
-- The latest version of one template.
select template_id, version, rules::text as rules, published_at
from template_version where merchant_id = $1 and template_id = $2
order by version desc limit 1;

-- name: page
-- The latest version of each template older than an id, newest first.
select v.template_id, v.version, v.rules::text as rules, v.published_at
from card_template t
join lateral (
  select * from template_version v where v.merchant_id = t.merchant_id and v.template_id = t.template_id
  order by v.version desc limit 1) v on true
where t.merchant_id = $1 and t.template_id < $2
order by t.template_id desc limit $3;

-- name: known_stores
-- Which of these stores the merchant has.
select store_id from store where merchant_id = $1 and store_id = any ($2::text[]);
