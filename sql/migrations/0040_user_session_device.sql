-- Which device began a session, by the name in the token that it was given then: it has one session of somebody at a time.

set local lock_timeout = '5s';

alter table user_session add column device_name text collate "C";
