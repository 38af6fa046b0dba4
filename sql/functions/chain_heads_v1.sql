-- The ends of all chains that moved after an instant, for the anchors that are kept outside the database.
create or replace function chain_heads_v1(p_since timestamptz)
returns table (merchant_id text, segment_no bigint, seq bigint, hash text, moved_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, public, pg_temp
as $$
  select h.merchant_id, h.segment_no, h.last_seq, encode(h.hash, 'hex'), h.moved_at from chain_head h
  where h.moved_at > p_since and h.segment_no > 0
  order by h.moved_at, h.merchant_id
$$;

revoke all on function chain_heads_v1 (timestamptz) from public;
grant execute on function chain_heads_v1 (timestamptz) to kafang_app;
