-- The reads of several merchants in one round trip: read_v1 for each, in their order. Each sets its own tenant first, and
-- each of its statements sees that tenant's rows only.
create or replace function read_many_v1(p_reads read_arguments_v1[])
returns setof read_result_v1
language plpgsql
as $$
declare
  r read_arguments_v1;
begin
  foreach r in array p_reads loop
    return query select * from read_v1(
      r.merchant_id, r.lock, r.card_numbers, r.keys, r.request_stores, r.request_nos, r.operations, r.templates);
  end loop;
end
$$;

revoke all on function read_many_v1 (read_arguments_v1[]) from public;
grant execute on function read_many_v1 (read_arguments_v1[]) to kafang_app;
