-- The write transaction of a batch, in order of execution. Each statement is one round trip, except those that are
-- prepared or rare. The statements that only some batches need are in load_special.sql and write_special.sql.

-- name: prepare_lock
-- why: once per connection, so that the lock can follow BEGIN in one round trip
PREPARE lock_wallets (smallint, uuid[]) AS
SELECT FROM wallets
 WHERE shard = $1 AND id = ANY($2) AND locked
 ORDER BY hot, id
   FOR NO KEY UPDATE;

-- name: begin_and_lock
-- in:  {shard} and {ids}, inserted as digits and as parsed UUIDs: no text of a client gets here
-- out: no rows, but the tag of the last statement, `SELECT n`: how many wallets are locked
-- why: the isolation level is set, not inherited. The writer has an xid before it takes a seq, so that the fence can
--      tell when every batch up to a seq is stable. All writers lock in one total order, so two batches can wait for
--      each other but never deadlock. A wallet that many batches use comes last, so that no batch keeps it locked while
--      it waits for others
BEGIN ISOLATION LEVEL READ COMMITTED;  -- noqa: PRS
SELECT pg_current_xact_id();
EXECUTE lock_wallets ({shard}, '{{{ids}}}');

-- name: lock_and_read
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: what `load` says of the wallets that are locked now
-- why: for many wallets, a second look-up of each costs more than a round trip. A row that the statement waited for is
--      read as it is now, not as it was when the statement began
SELECT id, asset_id, kind, locked, balance, held, version, overdraft_limit, max_balance, last_entry_at,
       (closed_at IS NOT NULL OR freeze_outgoing OR freeze_incoming OR next_due_at IS NOT NULL
        OR limit_day IS NOT NULL OR limit_month IS NOT NULL OR lot_balance <> 0) AS is_special
  FROM wallets
 WHERE shard = $1 AND id = ANY($2::uuid[]) AND locked
 ORDER BY hot, id
   FOR NO KEY UPDATE;

-- name: find_busy
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: the ids among them of wallets that another session has locked at this moment
-- why: after a lock time-out, outside any transaction: requests that name other wallets need not wait any longer
WITH free AS MATERIALIZED (
    SELECT id FROM wallets
     WHERE shard = $1 AND id = ANY($2::uuid[]) AND locked
       FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id FROM wallets
 WHERE shard = $1 AND id = ANY($2::uuid[]) AND locked AND id NOT IN (SELECT free.id FROM free);

-- name: load
-- in:  $1 shard smallint, $2 ids uuid[], $3 origins text[], $4 reference_ids text[]
-- out: the states of the locked wallets among the ids (none: one row with a null id), and whether they have further
--      state (a merged wallet is closed, too); on every row the ledger's clock, and the ids of the transactions that
--      have one of these references (none: null)
-- why: a statement of its own after the locks: merged into the lock it would read the snapshot from before the wait and
--      miss the reference of the very batch it waited for. The clock is ledger_now() without the cost of a call. With
--      OFFSET 0 the planner has to look up each reference, and cannot read the whole index for a join
SELECT found.decided_at, found.known_ids, w.id, w.asset_id, w.kind, w.locked, w.balance, w.held, w.version,
       w.overdraft_limit, w.max_balance, w.last_entry_at,
       (w.closed_at IS NOT NULL OR w.freeze_outgoing OR w.freeze_incoming OR w.next_due_at IS NOT NULL
        OR w.limit_day IS NOT NULL OR w.limit_month IS NOT NULL OR w.lot_balance <> 0) AS is_special
  FROM (
        SELECT clock_timestamp() + (
                   SELECT clock.advanced FROM sandbox_clock AS clock WHERE clock.is_only
               ) AS decided_at,
               array_agg(known.id) AS known_ids
          FROM unnest($3::text[], $4::text[]) AS wanted (origin, reference_id)
         CROSS JOIN LATERAL (
                SELECT t.id
                  FROM transactions AS t
                 WHERE t.shard = $1 AND t.reference_id = wanted.reference_id AND t.origin = wanted.origin
                OFFSET 0
               ) AS known
       ) AS found
  LEFT JOIN wallets AS w ON w.shard = $1 AND w.id = ANY($2::uuid[]) AND w.locked;

-- name: load_known
-- in:  $1 shard smallint, $2 transaction ids uuid[]
-- out: the transactions with these ids
-- why: only if a reference came back
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM transactions
 WHERE shard = $1 AND id = ANY($2::uuid[]);

-- name: write_batch
-- in:  $1 shard, $2 batch id, $3 decided_at,
--      transactions that have only their row and entries (the others: write_special): $4 ids, $5 origins, $6 references,
--      $7 types, $8 fingerprints, $9 metadata;
--      entries: $10 transaction ids, $11 legs, $12 wallets, $13 assets, $14 changes (direction * amount),
--      $15 versions (null: unlocked), $16 balances after;
--      wallets without other changes: $17 ids, $18 balances, $19 versions; deltas: $20 wallets, $21 amounts;
--      $22 the number of all transactions; $23 root and $24 marks of the leaves of all (storage.chain.leaves)
-- out: seq (null: the seq that was given is not above the watermark and all present batches, so no batch was written),
--      and how many rows of each kind were written; the caller compares
-- why: a batch with a lower seq would be hidden by a snapshot, or have no link. All rows that this statement sees were
--      committed before it took its seq, so a sequence in order always gives a higher one (docs/adr/0026). Without
--      OFFSET 0 the planner reads the whole index for a join. It takes one round trip whatever the size of the batch,
--      and writes each row once, in its final state. Transactions are inserted in order of their unique key, so that
--      disjoint batches with the same references wait but never deadlock. For that, one statement inserts all
--      transactions of a batch: this one, write_special, or COPY (storage.batch.write_by_copy). The condition on wallets
--      repeats the decision that no movement takes more than is available, so that a bug shows in the counts
WITH next AS MATERIALIZED (
    SELECT nextval('batch_seq') AS seq
),
batch AS (
    INSERT INTO batches (seq, created_at, transactions, shard, id, root, marks)
    SELECT seq, $3, $22, $1, $2, $23, $24
      FROM next
     WHERE NOT EXISTS (SELECT FROM watermarks AS moved WHERE moved.shard = $1 AND moved.seq >= next.seq OFFSET 0)
       AND NOT EXISTS (
            SELECT FROM batches AS earlier WHERE earlier.shard = $1 AND earlier.seq >= next.seq OFFSET 0
           )
    RETURNING seq
),
posted AS (
    INSERT INTO transactions (
        seq, created_at, effective_at, shard, id, origin, reference_id, type, fingerprint, metadata
    )
    SELECT batch.seq, $3, $3, $1, t.id, t.origin, t.reference_id, t.type, t.fingerprint, t.metadata
      FROM batch,
           unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[])
             AS t (id, origin, reference_id, type, fingerprint, metadata)
     ORDER BY t.reference_id COLLATE "C", t.origin COLLATE "C"
    RETURNING 1
),
entered AS (
    INSERT INTO ledger_entries (
        position, amount, balance_after, created_at, asset_id, shard, direction, leg, wallet_id, transaction_id
    )
    SELECT coalesce(e.version, batch.seq << 20 | e.ordinal), abs(e.change), e.balance_after, $3, e.asset_id, $1,
           sign(e.change), e.leg, e.wallet_id, e.transaction_id
      FROM batch,
           unnest($10::uuid[], $11::smallint[], $12::uuid[], $13::integer[], $14::bigint[], $15::bigint[],
                  $16::bigint[])
             WITH ORDINALITY AS e (transaction_id, leg, wallet_id, asset_id, change, version, balance_after, ordinal)
    RETURNING 1
),
moved AS (
    UPDATE wallets
       SET balance = w.balance, version = w.version, last_entry_at = $3
      FROM unnest($17::uuid[], $18::bigint[], $19::bigint[]) AS w (id, balance, version)
     WHERE wallets.shard = $1
       AND wallets.id = w.id
       AND (w.balance >= wallets.balance OR w.balance - wallets.held >= -wallets.overdraft_limit)
    RETURNING 1
),
netted AS (
    INSERT INTO system_deltas (seq, shard, wallet_id, amount)
    SELECT batch.seq, $1, d.wallet_id, d.amount
      FROM batch, unnest($20::uuid[], $21::numeric[]) AS d (wallet_id, amount)
    RETURNING 1
)
SELECT (SELECT seq FROM batch) AS seq,
       (SELECT count(*) FROM posted) AS transactions,
       (SELECT count(*) FROM entered) AS entries,
       (SELECT count(*) FROM moved) AS wallets,
       (SELECT count(*) FROM netted) AS deltas;

-- name: write_declines
-- in:  $1 shard, $2 at, $3 origins, $4 references, $5 types, $6 codes, $7 wallets, $8 required, $9 available
-- out: nothing
-- why: a refusal is recorded in the same database transaction, for support and audit
INSERT INTO declines (created_at, shard, origin, reference_id, type, code, wallet_id, required, available)
SELECT $2, $1, d.origin, d.reference_id, d.type, d.code, d.wallet_id, d.required, d.available
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::numeric[], $9::numeric[])
    AS d (origin, reference_id, type, code, wallet_id, required, available);

-- name: sign_of_life
-- why: while a large batch is decided: the server ends a session that is silent for too long, with its locks
SELECT 1;
