-- What surrounds the migrations; the migrations themselves are in migrations/versions/.

-- name: applied_revision
-- in:  nothing
-- out: the newest revision applied, no row when there is none; undefined_table on an empty database
-- why: start and readiness ask it, without loading the migration library
SELECT version_num FROM alembic_version;

-- name: lock_migrations
-- in:  $1 key bigint, the same in every release
-- out: nothing; held until the session ends
-- why: two starts at once must not both migrate
SELECT pg_advisory_lock($1);

-- name: wait_briefly
-- in:  nothing
-- out: nothing; lasts until the end of the database transaction
-- why: everybody queues behind a statement that waits for a table, so a migration must give up soon
SET LOCAL lock_timeout = '5s';
