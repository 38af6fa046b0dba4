-- Databases of the bench; the name stands in for the real one.

-- name: create
create database kafang_new owner kafang_owner;

-- name: drop
drop database if exists kafang_new with (force);
