-- What 0037 promised of new rows holds for all: they are looked at while everybody works.

set local lock_timeout = '5s';

alter table user_account validate constraint user_account_has_password;
alter table user_account validate constraint user_account_visitor;
