-- Roles and database of the embedded server. Utility statements take no parameters, so passwords
-- come in as settings of the session.

-- name: set_password
-- $1 is kafang.<role>_password; read back by create_roles in the same session.
select set_config($1, $2, false);

-- name: create_roles
-- Repeatable. The owner may migrate and nothing more; the login role gets its rights from
-- kafang_app alone, which migrations grant to.
do $$
begin
  if to_regrole('kafang_app') is null then
    create role kafang_app nologin;
  end if;
  if to_regrole('kafang_owner') is null then
    execute format('create role kafang_owner login password %L',
                   current_setting('kafang.kafang_owner_password'));
  end if;
  if to_regrole('kafang_login') is null then
    execute format('create role kafang_login login password %L in role kafang_app',
                   current_setting('kafang.kafang_login_password'));
  end if;
end $$;

-- name: database_exists
-- Whether the database was created before.
select exists (select from pg_database where datname = 'kafang');

-- name: create_database
-- The database, owned by the role that migrates it.
create database kafang owner kafang_owner;
