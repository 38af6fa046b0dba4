-- What the chain calls a store, and what the contract of a franchisee lets the people and tills of their store do:
-- nothing else, whatever their roles and keys say. Null: the merchant's own store.

set local lock_timeout = '5s';

alter table store add column code text collate "C", add column contract text[];
