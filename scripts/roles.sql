-- Creates three roles with least rights on a Postgres database: one loads, one builds, one reads.
--
--     export TLC_LOADER_PASSWORD=… TLC_TRANSFORMER_PASSWORD=… TLC_READER_PASSWORD=…
--     psql -f scripts/roles.sql
--
-- Run it as a superuser, or as the database's owner if that user may create roles. It can be run
-- again at any time: tables that exist already get the roles as owners, and a password changes when
-- its variable is set. TLC_SCHEMA_PREFIX goes before the roles' names too. docs/postgres.md describes
-- the rights of each role.

\set ON_ERROR_STOP on
\set prefix ''
\getenv prefix TLC_SCHEMA_PREFIX
\getenv loader_password TLC_LOADER_PASSWORD
\getenv transformer_password TLC_TRANSFORMER_PASSWORD
\getenv reader_password TLC_READER_PASSWORD

select
    :'prefix' || 'tlc_loader' as loader,
    :'prefix' || 'tlc_transformer' as transformer,
    :'prefix' || 'tlc_reader' as reader,
    :'prefix' || 'tlc_raw' as raw,
    :'prefix' || 'tlc_staging' as staging,
    :'prefix' || 'tlc' as trips,
    :'prefix' || 'tlc_marts' as marts
\gset

begin;

select format('create role %I', role)
from unnest(array[:'loader', :'transformer', :'reader']) as role
where not exists (select from pg_roles where rolname = role)
\gexec
alter role :"loader" login;
alter role :"transformer" login;
alter role :"reader" login;
\if :{?loader_password}
alter role :"loader" password :'loader_password';
\endif
\if :{?transformer_password}
alter role :"transformer" password :'transformer_password';
\endif
\if :{?reader_password}
alter role :"reader" password :'reader_password';
\endif

grant connect on database :"DBNAME" to :"loader", :"transformer", :"reader";
-- dbt's incremental models write to a temporary table first.
grant temporary on database :"DBNAME" to :"transformer";

create schema if not exists :"raw";
create schema if not exists :"staging";
create schema if not exists :"trips";
create schema if not exists :"marts";

-- Needed to change what the two roles own; revoked at the end of this script.
grant :"loader", :"transformer" to current_user;

-- The loader owns the tables of the raw schema, and nothing else. It reads the ledger, and counts the
-- month's trips when a run reconciles.
grant usage, create on schema :"raw" to :"loader";
grant usage on schema :"trips" to :"loader";

-- The transformer reads the raw schema, and owns the tables of the three others.
grant usage on schema :"raw" to :"transformer";
grant usage, create on schema :"staging", :"trips", :"marts" to :"transformer";

-- The reader reads the trips tables, the ledger, the dictionary and the marts.
grant usage on schema :"trips", :"marts" to :"reader";

-- Existing tables.
select format('alter table %s owner to %I', relation.oid::regclass, schema.role)
from
    pg_class as relation,
    (values
        (:'raw', :'loader'),
        (:'staging', :'transformer'),
        (:'trips', :'transformer'),
        (:'marts', :'transformer')
    ) as schema (name, role)
where
    relation.relnamespace = schema.name::regnamespace
    and relation.relkind in ('r', 'p', 'v')
    and relation.relowner != schema.role::regrole
\gexec

grant select on all tables in schema :"raw" to :"transformer";
grant select on all tables in schema :"trips" to :"loader", :"reader";
grant select on all tables in schema :"marts" to :"reader";

-- Future tables.
alter default privileges for role :"loader" in schema :"raw"
grant select on tables to :"transformer";
alter default privileges for role :"transformer" in schema :"trips"
grant select on tables to :"loader", :"reader";
alter default privileges for role :"transformer" in schema :"marts"
grant select on tables to :"reader";

revoke :"loader", :"transformer" from current_user;

commit;
