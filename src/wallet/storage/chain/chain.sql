-- The audit chain: the rows of its leaves, its links, and its lag.

-- name: find_transactions
-- in:  $1 shard smallint, $2 first and $3 last seq bigint
-- out: the transactions of these batches
-- why: a BRIN index finds them by place, since a batch's transactions lie together; their other rows are found by their
--      ids
SELECT seq, id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM transactions
 WHERE shard = $1 AND seq >= $2 AND seq <= $3;

-- name: find_entries
-- in:  $1 shard smallint, $2 transaction ids uuid[]
-- out: their entries
SELECT e.transaction_id, e.leg, e.wallet_id, e.asset_id, e.direction, e.amount, e.position, e.balance_after,
       e.created_at
  FROM unnest($2::uuid[]) AS wanted (id)
 CROSS JOIN LATERAL (
        SELECT transaction_id, leg, wallet_id, asset_id, direction, amount, position, balance_after, created_at
          FROM ledger_entries
         WHERE shard = $1 AND transaction_id = wanted.id
        OFFSET 0
       ) AS e;

-- name: find_steps
-- in:  $1 shard smallint, $2 transaction ids uuid[]
-- out: their hold steps
SELECT s.transaction_id, s.hold_id, s.wallet_id, s.position, s.kind, s.held_change, s.held_after, s.captured,
       s.released, s.expires_at, s.created_at
  FROM unnest($2::uuid[]) AS wanted (id)
 CROSS JOIN LATERAL (
        SELECT transaction_id, hold_id, wallet_id, position, kind, held_change, held_after, captured, released,
               expires_at, created_at
          FROM hold_steps
         WHERE shard = $1 AND transaction_id = wanted.id
        OFFSET 0
       ) AS s;

-- name: find_lots
-- in:  $1 shard smallint, $2 transaction ids uuid[]
-- out: the lots that they opened, as far as a lot never changes
SELECT opened_by, id, asset_id, category, priority, expires_at, opened_at, amount, programme_id
  FROM lots
 WHERE shard = $1 AND opened_by = ANY($2::uuid[]);

-- name: find_moves
-- in:  $1 shard smallint, $2 transaction ids uuid[]
-- out: their lot moves
SELECT transaction_id, ordinal, lot_id, wallet_id, change, held_change, created_at
  FROM lot_moves
 WHERE shard = $1 AND transaction_id = ANY($2::uuid[]);

-- name: find_events
-- in:  $1 shard smallint, $2 first and $3 last seq bigint
-- out: the wallet events of these batches
SELECT seq, id, wallet_id, position, kind, changes, created_at
  FROM wallet_events
 WHERE shard = $1 AND seq >= $2 AND seq <= $3;

-- name: find_head
-- in:  $1 shard smallint
-- out: the last link, or no row
SELECT height, seq, hash FROM seals WHERE shard = $1 ORDER BY height DESC LIMIT 1;

-- name: find_unsealed
-- in:  $1 shard smallint, $2 the seq of the last link bigint, $3 how many at most
-- out: stable batches that have no link yet, in order
SELECT b.seq, b.id, b.created_at, b.transactions, b.root
  FROM watermarks AS watermark
  JOIN batches AS b ON b.shard = watermark.shard AND b.seq > $2 AND b.seq <= watermark.seq
 WHERE watermark.shard = $1
 ORDER BY b.seq
 LIMIT $3;

-- name: append_seals
-- in:  $1 shard smallint, $2 heights bigint[], $3 seqs bigint[], $4 hashes bytea[]
-- why: the keys make this a compare and set: all of these heights are new, or none is written
INSERT INTO seals (height, seq, shard, hash)
SELECT link.height, link.seq, $1, link.hash
  FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS link (height, seq, hash);

-- name: measure_lag
-- in:  $1 shard smallint, $2 how many are counted at most
-- out: batches without a link, stable or not; seconds since the first of them, 0 if there is none
SELECT count(*) AS batches,
       coalesce(greatest(extract(EPOCH FROM ledger_now() - min(late.created_at)), 0), 0)::float8 AS seconds
  FROM (
        SELECT b.created_at
          FROM batches AS b
         WHERE b.shard = $1
           AND b.seq > coalesce((SELECT s.seq FROM seals AS s WHERE s.shard = $1 ORDER BY s.height DESC LIMIT 1), 0)
         ORDER BY b.seq
         LIMIT $2
       ) AS late;

-- name: find_batches
-- in:  $1 shard smallint, $2 first seq bigint, $3 how many at most
-- out: batches from there on, in order
SELECT seq, id, created_at, transactions, root, marks
  FROM batches
 WHERE shard = $1 AND seq >= $2
 ORDER BY seq
 LIMIT $3;

-- name: find_seals
-- in:  $1 shard smallint, $2 first and $3 last seq bigint
-- out: the links of these batches, in order of seq
SELECT height, seq, hash
  FROM seals
 WHERE shard = $1 AND seq >= $2 AND seq <= $3
 ORDER BY seq;

-- name: find_checkpoints
-- out: the last link of each shard, and its batch, if that still exists
SELECT head.shard, head.height, head.seq, b.id AS batch_id, head.hash, clock_timestamp() AS made_at
  FROM (SELECT DISTINCT ON (shard) shard, height, seq, hash FROM seals ORDER BY shard, height DESC) AS head
  LEFT JOIN batches AS b ON b.shard = head.shard AND b.seq = head.seq
 ORDER BY head.shard;

-- name: estimate_transactions
-- out: about how many there are, 0: unknown
SELECT greatest(reltuples, 0)::bigint AS transactions FROM pg_class WHERE oid = 'transactions'::regclass;

-- name: find_by_place
-- why: for reads by seq and by ids: with the settings of the checks by ranges, PostgreSQL would read a whole key
SELECT set_config(name, setting, true)
  FROM (
        VALUES ('enable_seqscan', 'off'), ('enable_bitmapscan', 'on'), ('enable_nestloop', 'on')
       ) AS wanted (name, setting);
