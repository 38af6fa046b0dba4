-- What 0033 promised of new rows holds for all: they are looked at while everybody works.

set local lock_timeout = '5s';

alter table member validate constraint member_status;
alter table member validate constraint member_is_known;
alter table member validate constraint member_sealed;
alter table member validate constraint member_restricted;
alter table member validate constraint member_erased;
