-- The beginning and the end of a database transaction.

-- name: begin
-- why: the isolation level is set and not inherited: under read committed, a statement sees the rows that the statement
--      before it waited for
BEGIN ISOLATION LEVEL READ COMMITTED;  -- noqa: PRS

-- name: rollback
ROLLBACK;

-- name: commit
-- why: a plain statement, whose tag must read COMMIT: a failed database transaction answers ROLLBACK
COMMIT;
