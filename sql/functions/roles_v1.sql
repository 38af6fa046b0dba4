-- The roles that somebody has now, each with the stores that it is for (null: all of them) and what the contract of a
-- franchisee's store leaves of it (null: everything).
create or replace function roles_v1(p_merchant text, p_user text)
returns grant_row_v1[]
language sql
stable
as $$
  select array(
    select row(g.role,
        case when g.store_id is not null then array[g.store_id]
          when g.area_id is not null then reach_v1(p_merchant, g.area_id) end,
        s.contract)::grant_row_v1
      from role_grant g
      left join store s on s.merchant_id = p_merchant and s.store_id = g.store_id
      where g.merchant_id = p_merchant and g.user_id = p_user and g.revoked_at is null)
$$;

revoke all on function roles_v1 (text, text) from public;
grant execute on function roles_v1 (text, text) to kafang_app;
