-- From where a key may be used (null: from anywhere), who made it, when it was used last, to the hour, and which key came
-- in its place.

set local lock_timeout = '5s';

create type credential_row_v2 as (
  api_key_id text, secret_hash bytea, scopes text[], store_id text, expires_at timestamptz, networks text[]);

alter table api_key
  add column networks text[],
  add column created_by text collate "C",
  add column last_used_at timestamptz,
  add column rotated_to text collate "C";

grant update (last_used_at, rotated_to) on api_key to kafang_app;
