-- Where a database transaction begins and ends.

-- name: begin
-- why: the isolation level is said, not inherited: read committed lets a statement see what the one before waited for
BEGIN ISOLATION LEVEL READ COMMITTED;  -- noqa: PRS

-- name: rollback
ROLLBACK;

-- name: commit
-- why: a plain statement, whose tag must read COMMIT: a failed database transaction answers ROLLBACK
COMMIT;
