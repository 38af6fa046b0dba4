-- API keys.

-- name: insert
-- A new key, by the hash of its text.
insert into api_key
  (merchant_id, api_key_id, name, secret_hash, scopes, store_id, expires_at, networks, created_by, signed,
  created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp());

-- name: refresh
-- Other scopes: $3 for a till's key, $4 for one of the merchant's own. What people made stays as they made it.
update api_key set scopes = case when store_id is null then $4::text[] else $3::text[] end
where merchant_id = $1 and api_key_id = $2 and status = 'active' and created_by is null
returning merchant_id, api_key_id, name, scopes;

-- name: revoke
-- End a key.
update api_key set status = 'revoked'
where merchant_id = $1 and api_key_id = $2 and status = 'active'
returning api_key_id;

-- name: page
-- Keys older than one, newest first, or that one.
select api_key_id as id, name, scopes, store_id, networks, signed, status, expires_at, rotated_to, last_used_at,
  created_at, created_by
from api_key where merchant_id = $1 and api_key_id < $2 and ($3::text is null or api_key_id = $3)
order by api_key_id desc limit $4;

-- name: shorten
-- It is good for so many seconds, and no longer.
update api_key
set expires_at = least(expires_at, clock_timestamp() + make_interval(secs => $3)), rotated_to = $4
where merchant_id = $1 and api_key_id = $2 and status = 'active'
  and (expires_at is null or expires_at > clock_timestamp())
returning api_key_id;

-- name: note_use
-- Somebody uses it.
update api_key set last_used_at = clock_timestamp() where merchant_id = $1 and secret_hash = $2;
