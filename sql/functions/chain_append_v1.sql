-- Give these operations and audit entries their numbers, and seal them as the next segment of the merchant's chain, whose
-- end the caller holds (chain_open_v1). Nobody calls this but what numbers and what audits.
create or replace function chain_append_v1(p_merchant text, p_entries text[])
returns bigint
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
declare
  h chain_head;
  v_digest bytea := sha256(convert_to(coalesce(chain_lines_v1(p_merchant, p_entries), ''), 'UTF8'));
  v_sealed_at timestamptz := clock_timestamp();
begin
  select * into strict h from chain_head where merchant_id = p_merchant;
  h.hash := chain_hash_v1(p_merchant, h.segment_no + 1, h.last_seq + 1, h.last_seq + cardinality(p_entries), v_sealed_at,
    v_digest, h.hash);
  insert into segment (merchant_id, segment_no, first_seq, last_seq, format, entries, digest, hash, sealed_at)
    values (p_merchant, h.segment_no + 1, h.last_seq + 1, h.last_seq + cardinality(p_entries), 1, p_entries, v_digest,
      h.hash, v_sealed_at);
  update chain_head
    set segment_no = h.segment_no + 1, last_seq = h.last_seq + cardinality(p_entries), hash = h.hash,
      moved_at = v_sealed_at
    where merchant_id = p_merchant;
  return h.last_seq + cardinality(p_entries);
end
$$;

revoke all on function chain_append_v1 (text, text[]) from public;
