-- Signed requests.

-- name: asynchronous
-- What follows need not outlive a crash of the server: for this transaction only.
select set_config('synchronous_commit', 'off', true);

-- name: use_nonce
-- A nonce is good once; nothing, or a violation of the primary key, when it was used. The row of one that is too old to
-- be shown again is taken for it, so that there are as many as were used in eleven minutes and nothing is deleted.
with old as (
  select nonce_hash from used_nonce
  where merchant_id = $1 and used_at < clock_timestamp() - make_interval(secs => $3)
    and not exists (select from used_nonce where merchant_id = $1 and nonce_hash = $2)
  order by used_at limit 1 for update skip locked
), taken as (
  update used_nonce n set nonce_hash = $2, used_at = clock_timestamp()
  from old where n.merchant_id = $1 and n.nonce_hash = old.nonce_hash
  returning n.nonce_hash
), made as (
  insert into used_nonce (merchant_id, nonce_hash, used_at)
  select $1, $2, clock_timestamp() where not exists (select from taken)
  on conflict do nothing
  returning nonce_hash
)
select nonce_hash from taken union all select nonce_hash from made;
