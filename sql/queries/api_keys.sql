-- API keys.

-- name: raise_epoch
-- Whoever remembers the tenant's credentials reads them again; also tells the tenant's mode.
update merchant set epoch = epoch + 1 where merchant_id = $1 returning mode;

-- name: insert
-- A new key, by the hash of its text.
insert into api_key (merchant_id, api_key_id, name, secret_hash, scopes, store_id, created_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp());

-- name: refresh
-- Other scopes: $3 for a till's key, $4 for one of the merchant's own.
update api_key set scopes = case when store_id is null then $4::text[] else $3::text[] end
where merchant_id = $1 and api_key_id = $2 and status = 'active'
returning merchant_id, api_key_id, name, scopes;

-- name: revoke
-- End a key.
update api_key set status = 'revoked'
where merchant_id = $1 and api_key_id = $2 and status = 'active'
returning api_key_id;
