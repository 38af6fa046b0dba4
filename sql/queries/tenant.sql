-- The tenant of a transaction, and what is configured for it.

-- name: set
-- First statement of every transaction.
select set_config('kafang.merchant_id', $1, true);

-- name: merchant
-- The tenant itself, with its epoch and clock.
select merchant_id, mode, status, currency, time_zone, epoch, test_now, clock_timestamp() as clock
from merchant where merchant_id = $1;

-- name: credentials
-- Keys that are still good, by the hash of the presented text.
select api_key_id, secret_hash, scopes, store_id, expires_at
from api_key where merchant_id = $1 and secret_hash = any ($2::bytea[]) and status = 'active';

-- name: stores
-- Stores as the rules need them.
select store_id, legal_entity, time_zone, day_cutoff, status
from store where merchant_id = $1 and store_id = any ($2::text[]);

-- name: templates
-- Template versions: those named, and the latest of those named without one (version 0).
select v.template_id, v.version, v.rules::text as rules
from template_version v
join unnest($2::text[], $3::int[]) w (template_id, version) on w.template_id = v.template_id
where v.merchant_id = $1 and (v.version = w.version or (w.version = 0 and v.version = (
  select max(m.version) from template_version m where m.merchant_id = $1 and m.template_id = w.template_id)));
