-- What is said of a place from headquarters down to it, now: a row for each place on the way that says something.
create or replace function policies_v1(p_merchant text, p_node text)
returns policy_row_v1[]
language sql
stable
as $$
  with recursive way as (
    select p_node collate "C" as node_id, 0 as height
    union all
    select coalesce(
        (select s.parent_id from placement s
          where s.merchant_id = p_merchant and s.store_id = w.node_id and s.until is null),
        (select a.parent_id from placement a
          where a.merchant_id = p_merchant and a.area_id = w.node_id and a.until is null),
        p_merchant), w.height + 1
      from way w where w.node_id <> p_merchant
  )
  select coalesce(array_agg(row(w.node_id, y.version, y.rules::text)::policy_row_v1 order by w.height desc), '{}')
    from way w
    cross join lateral (
      select x.version, x.rules from policy x where x.merchant_id = p_merchant and x.node_id = w.node_id
      order by x.version desc limit 1) y
$$;

revoke all on function policies_v1 (text, text) from public;
grant execute on function policies_v1 (text, text) to kafang_app;
