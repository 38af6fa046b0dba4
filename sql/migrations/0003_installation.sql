-- Which secret this database was first used with, as a check value of it: request keys and quotes are derived from the
-- secret, so that another one would let a repeated request through as a new one.

set local lock_timeout = '5s';

create table installation (
  only_one boolean primary key default true check (only_one),
  secret_check bytea not null
);

grant select, insert on installation to kafang_app;
