-- Statements around the migrations; the migrations themselves are in migrations/versions/.

-- name: applied_revision
-- in:  nothing
-- out: the newest applied revision, or no row; undefined_table in an empty database
-- why: start and readiness read it without loading the migration library
SELECT version_num FROM wallet_alembic_version;

-- name: look_around
-- in:  $1 names of all that the migrations make text[]
-- out: the schema in which migrations would make objects (null: the search path names none that exists), and whether
--      this login may; whether the server is a standby, and whether it takes no writes; the schema of our version
--      table, if it is on the search path; whether a version table with the library's own name exists, as releases
--      before 0005_sequences had; the names that are taken
-- why: an obstacle that would stop a migration in the middle is reported before it begins
SELECT place.name AS place,
       coalesce(has_schema_privilege(place.oid, 'CREATE'), false) AS may_create,
       pg_is_in_recovery() AS is_standby,
       current_setting('transaction_read_only')::boolean AS is_read_only,
       (SELECT space.nspname::text
          FROM pg_class AS kept JOIN pg_namespace AS space ON space.oid = kept.relnamespace
         WHERE kept.oid = to_regclass('wallet_alembic_version')) AS kept_in,
       (SELECT count(*) > 0
          FROM pg_class WHERE relnamespace = place.oid AND relname = 'alembic_version') AS has_shared_table,
       ARRAY(
        SELECT relname::text FROM pg_class WHERE relnamespace = place.oid AND relname = ANY($1::text[])
         UNION
        SELECT proname::text FROM pg_proc WHERE pronamespace = place.oid AND proname = ANY($1::text[])
         UNION
        SELECT typname::text FROM pg_type WHERE typnamespace = place.oid AND typname = ANY($1::text[])
       ) AS taken
  FROM (SELECT 1) AS one
  LEFT JOIN (
        -- Not a schema for temporary tables, which may be named, too.
        SELECT oid, nspname::text AS name FROM pg_namespace WHERE nspname = current_schema() AND nspname !~ '^pg_'
       ) AS place ON true;

-- name: shared_revision
-- out: the revision in the version table with the library's own name
SELECT version_num FROM alembic_version;

-- name: adopt_revision
-- why: the record of a ledger from before 0005_sequences goes on in a table of our own. The old one stays for processes
--      of that release, which look there whether they are ready
CREATE TABLE wallet_alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT wallet_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO wallet_alembic_version (version_num) SELECT version_num FROM alembic_version;

-- name: lock_migrations
-- in:  $1 key bigint, the same in every release
-- out: nothing; held until the session ends
-- why: two starts at once must not both migrate
SELECT pg_advisory_lock($1);

-- name: wait_briefly
-- in:  nothing
-- out: nothing; lasts until the end of the database transaction
-- why: all other sessions queue behind a statement that waits for a table, so a migration must give up soon
SET LOCAL lock_timeout = '5s';
