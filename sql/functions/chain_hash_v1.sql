-- The hash of a segment: over its own fields, the digest of what it seals, and the hash of the segment before. No field
-- can hold the bar that parts them. Of the first segment what comes before is 32 zero bytes.
create or replace function chain_hash_v1(
  p_merchant text, p_segment_no bigint, p_first_seq bigint, p_last_seq bigint, p_sealed_at timestamptz, p_digest bytea,
  p_previous bytea)
returns bytea
language sql
stable
as $$
  select sha256(convert_to(concat_ws('|', 'kafang-segment-1', p_merchant, p_segment_no, p_first_seq, p_last_seq,
    to_char(p_sealed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), encode(p_digest, 'hex'),
    encode(p_previous, 'hex')), 'UTF8'))
$$;

revoke all on function chain_hash_v1 (text, bigint, bigint, bigint, timestamptz, bytea, bytea) from public;
grant execute on function chain_hash_v1 (text, bigint, bigint, bigint, timestamptz, bytea, bytea) to kafang_app;
