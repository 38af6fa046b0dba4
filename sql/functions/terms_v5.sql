-- What is configured for one merchant, as of one snapshot and its epoch, in one round trip: the merchant, the keys and
-- sessions (by the hash of the presented text) that are still good, the stores with their policies, and the template versions named, or the
-- latest of those named with version 0. All are null when there is no such merchant.
--
-- A key that is bound to a franchisee's store may do what it carries and the contract allows; of a person the contract
-- narrows what they were given at that store.
--
-- The tenant is set first, in a statement of its own; the SELECT that follows sees one snapshot.
create or replace function terms_v5(
  p_merchant text, p_hashes bytea[], p_stores text[], p_templates text[], p_versions integer[],
  out merchant_id text, out mode text, out status text, out currency text, out time_zone text, out epoch bigint,
  out test_now timestamptz, out clock timestamptz, out credentials credential_row_v3[], out sessions session_row_v1[],
  out stores store_row_v3[], out templates template_row_v1[])
language plpgsql
as $$
begin
  perform set_config('kafang.merchant_id', p_merchant, true);
  select m.merchant_id, m.mode, m.status, m.currency, m.time_zone, m.epoch, m.test_now, clock_timestamp(),
    array(select row(k.api_key_id, k.secret_hash,
            case when s.contract is null then k.scopes
              else array(select unnest(k.scopes) intersect select unnest(s.contract)) end,
            k.store_id, k.expires_at, k.networks, k.signed)::credential_row_v3
          from api_key k
          left join store s on s.merchant_id = p_merchant and s.store_id = k.store_id
          where k.merchant_id = p_merchant and k.secret_hash = any (p_hashes) and k.status = 'active'),
    array(select row(u.session_id, u.user_id, u.secret_hash, u.second_factor, u.expires_at,
            roles_v1(p_merchant, u.user_id))::session_row_v1
          from user_session u
          join user_account a on a.merchant_id = p_merchant and a.user_id = u.user_id and a.status = 'active'
          where u.merchant_id = p_merchant and u.secret_hash = any (p_hashes) and u.ended_at is null),
    array(select row(s.store_id, s.legal_entity, s.time_zone, s.day_cutoff, s.status, s.closed_through,
            policies_v1(p_merchant, s.store_id))::store_row_v3
          from store s where s.merchant_id = p_merchant and s.store_id = any (p_stores)),
    array(select row(v.template_id, w.version, v.version, v.rules::text)::template_row_v1
          from unnest(p_templates, p_versions) w (template_id, version)
          join template_version v on v.merchant_id = p_merchant and v.template_id = w.template_id
            and v.version = case when w.version > 0 then w.version else (
              select max(x.version) from template_version x
              where x.merchant_id = p_merchant and x.template_id = w.template_id) end)
    into merchant_id, mode, status, currency, time_zone, epoch, test_now, clock, credentials, sessions, stores,
      templates
    from merchant m where m.merchant_id = p_merchant;
end
$$;

revoke all on function terms_v5 (text, bytea[], text[], text[], integer[]) from public;
grant execute on function terms_v5 (text, bytea[], text[], text[], integer[]) to kafang_app;
