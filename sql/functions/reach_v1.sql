-- The stores that are in an area now, or in areas within it.
create or replace function reach_v1(p_merchant text, p_area text)
returns text[]
language sql
stable
as $$
  with recursive inside as (
    select p_area collate "C" as area_id
    union
    select p.area_id from inside i
      join placement p on p.merchant_id = p_merchant and p.parent_id = i.area_id and p.until is null
      where p.area_id is not null
  )
  select coalesce(array_agg(p.store_id order by p.store_id), '{}')
    from inside i
    join placement p on p.merchant_id = p_merchant and p.parent_id = i.area_id and p.until is null
    where p.store_id is not null
$$;

revoke all on function reach_v1 (text, text) from public;
grant execute on function reach_v1 (text, text) to kafang_app;
