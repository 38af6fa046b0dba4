-- Which merchants have something to number, and since when the oldest of it waits (null: nothing). With `p_all` also those
-- whose chain has not begun. Ids and an instant, nothing else of any merchant.
create or replace function unsequenced_merchants_v1(p_all boolean, out merchants text[], out since timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, public, pg_temp
as $$
  select array(
      select u.merchant_id from unsequenced u
      union
      select m.merchant_id from merchant m
      where p_all and not exists (select from chain_head h where h.merchant_id = m.merchant_id)
      order by 1),
    (select min(u.posted_at) from unsequenced u)
$$;

revoke all on function unsequenced_merchants_v1 (boolean) from public;
grant execute on function unsequenced_merchants_v1 (boolean) to kafang_app;
