-- The posts of several merchants in one call: post_v2 for each, in their order, committed before the next begins. So
-- each is a transaction of its own with its own tenant, and none holds a lock while another works.
--
-- A post that fails ends the call: those before it are done, it and those behind it have left nothing. Who was which is
-- what their keys say; a savepoint for each would say it too, at a tenth of the whole cost. The results are the
-- components that missed.
create or replace procedure post_many_v2(p_posts post_arguments_v2[], inout p_results post_result_v1[])
language plpgsql
as $$
declare
  p post_arguments_v2;
  v_missed integer[];
begin
  p_results := '{}';
  foreach p in array p_posts loop
    v_missed := post_v2(
      p.merchant_id, p.guards, p.keys, p.card_inserts, p.cards, p.lot_inserts, p.lots, p.operations, p.postings,
      p.legs, p.redemption_inserts, p.redemptions, p.counters);
    commit;
    p_results := p_results || row(v_missed)::post_result_v1;
  end loop;
end
$$;

revoke all on procedure post_many_v2 (post_arguments_v2[], post_result_v1[]) from public;
grant execute on procedure post_many_v2 (post_arguments_v2[], post_result_v1[]) to kafang_app;
