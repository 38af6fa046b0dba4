-- What terms_v1 returns beside the merchant's own columns.

set local lock_timeout = '5s';

create type credential_row_v1 as (
  api_key_id text, secret_hash bytea, scopes text[], store_id text, expires_at timestamptz);

create type store_row_v1 as (
  store_id text, legal_entity text, time_zone text, day_cutoff time, status text);

-- `version_asked` is 0 where the latest was asked for.
create type template_row_v1 as (template_id text, version_asked integer, version integer, rules text);
