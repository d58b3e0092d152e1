-- Whether the database would take a movement now. Nothing here leaves a row behind.

-- name: is_read_only
-- out: whether new sessions of this login are read-only unless they ask for more, as providers let them be when a disk
--      fills. The setting of the login and the database counts before the server's own default
-- why: read from the catalog, since a session keeps what was set when it began
SELECT coalesce(
           (
               SELECT split_part(entry, '=', 2)::boolean
                 FROM pg_db_role_setting CROSS JOIN LATERAL unnest(setconfig) AS entry
                WHERE entry LIKE 'default_transaction_read_only=%'
                  AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                  AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
                ORDER BY setrole <> 0 DESC, setdatabase <> 0 DESC
                LIMIT 1
           ),
           current_setting('default_transaction_read_only')::boolean
       ) AS is_read_only;

-- name: begin_to_need_room
-- why: with so little memory, the rows that are counted next go to a temporary file, in the database's own tablespace
BEGIN;
SET LOCAL work_mem = '64kB';
SET LOCAL temp_tablespaces = '';

-- name: need_room
-- why: if half a megabyte has no room, a growing table has none either. The file is gone at the end
SELECT count(*) AS rows_counted FROM generate_series(1, 20000);

-- name: touch_tables
-- why: this is the lock of statements that add rows. It waits shortly, since vacuum locks a table for a moment when it
--      gives back its end; the wait hinders no other session
BEGIN;
SET LOCAL lock_timeout = '500ms';
LOCK TABLE batches, transactions, ledger_entries, wallets IN ROW EXCLUSIVE MODE;
COMMIT;

-- name: end
COMMIT;
