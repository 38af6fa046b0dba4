-- Hold the end of the merchant's chain, whose tenant is set, until the transaction ends.
--
-- It begins the chain where there is none: what was posted before there were chains is queued in front of all that is, in
-- the order of each card's versions. Nobody calls this but what appends.
create or replace function chain_open_v1(p_merchant text)
returns void
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
begin
  perform 1 from chain_head where merchant_id = p_merchant for no key update;
  if found then
    return;
  end if;
  insert into chain_head (merchant_id, segment_no, last_seq, hash, moved_at)
    values (p_merchant, 0, 0, decode(repeat('00', 32), 'hex'), clock_timestamp())
    on conflict do nothing;
  if not found then  -- somebody else has just begun it
    perform 1 from chain_head where merchant_id = p_merchant for no key update;
    return;
  end if;
  insert into unsequenced (merchant_id, post_no, operations)
    overriding system value
    select p_merchant, o.batch - 1000000000, array_agg(o.operation_id order by o.n) from (
      select operation_id, n, (n - 1) / 1000 as batch from (
        select operation_id, row_number() over (order by decided_at, decided_version nulls first, operation_id) as n
        from operation where merchant_id = p_merchant and operation_id <> all (
          array(select unnest(u.operations) from unsequenced u where u.merchant_id = p_merchant))) h) o
    group by o.batch;
end
$$;

revoke all on function chain_open_v1 (text) from public;
