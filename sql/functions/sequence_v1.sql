-- Number and seal the oldest of what these merchants have posted: some 250 operations of each, in one segment, so that the
-- tills get the processor again soon. Returns how many operations that were; whoever gets 250 or more calls again.
--
-- No event can be lost: what is numbered is what is in the queue, and it leaves the queue with its number. Nothing of a card
-- gets its number before what came before it: a post is numbered while it holds its cards, so of two posts of one card
-- the later one has the higher post number, and whoever sees it sees the earlier one (rule 12 of the writer).
create or replace function sequence_v1(p_merchants text[])
returns integer
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
  v_merchant text;
  v_entries text[];
  v_count integer := 0;
begin
  foreach v_merchant in array p_merchants loop
    perform set_config('kafang.merchant_id', v_merchant, true);
    perform chain_open_v1(v_merchant);
    with part as (
      select post_no from (
        select post_no, sum(cardinality(operations)) over (order by post_no) - cardinality(operations) as ahead
        from unsequenced where merchant_id = v_merchant order by post_no limit 250) oldest
      where ahead < 250),
    numbered as (
      delete from unsequenced where merchant_id = v_merchant and post_no = any (array(select post_no from part))
      returning post_no, operations)
    select array_agg(o.id order by p.post_no, o.place) into v_entries
      from numbered p cross join unnest(p.operations) with ordinality o (id, place);
    if v_entries is not null then
      perform chain_append_v1(v_merchant, v_entries);
      v_count := v_count + cardinality(v_entries);
    end if;
  end loop;
  return v_count;
end
$$;

revoke all on function sequence_v1 (text[]) from public;
grant execute on function sequence_v1 (text[]) to kafang_app;
