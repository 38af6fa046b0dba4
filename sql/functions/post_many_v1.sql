-- The posts of several merchants in one call: post_v1 for each, in their order, committed before the next begins. So
-- each is a transaction of its own with its own tenant, and none holds a lock while another works.
--
-- A post that fails leaves nothing and does not stop the others; its result is null, and whoever wants to know why
-- posts it alone. The others' results are the components that missed.
create or replace procedure post_many_v1(p_posts post_arguments_v1[], inout p_results post_result_v1[])
language plpgsql
as $$
declare
  p post_arguments_v1;
  v_missed integer[];
begin
  p_results := '{}';
  foreach p in array p_posts loop
    begin
      v_missed := post_v1(
        p.merchant_id, p.guards, p.keys, p.card_inserts, p.cards, p.lot_inserts, p.lots, p.operations, p.postings,
        p.legs, p.redemption_inserts, p.redemptions, p.counters);
    exception when others then
      v_missed := null;
    end;
    commit;
    p_results := p_results || row(v_missed)::post_result_v1;
  end loop;
end
$$;

revoke all on procedure post_many_v1 (post_arguments_v1[], post_result_v1[]) from public;
grant execute on procedure post_many_v1 (post_arguments_v1[], post_result_v1[]) to kafang_app;
