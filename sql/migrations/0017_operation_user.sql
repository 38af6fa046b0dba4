-- Who, where a person did it: beside the API key, of which there is none then.

set local lock_timeout = '5s';

alter table operation add column user_id text collate "C", add column session_id text collate "C";
