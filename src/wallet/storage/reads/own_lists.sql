-- Lists over some wallets: those of a bound caller. Each goes along the history of every wallet, newest first, and
-- merges them by created_at, then wallet and position, all descending. Along the positions of a locked wallet
-- created_at never falls, so that is the order of each history, too. Nothing is read of any other wallet, however rare
-- what is asked for.

-- name: find_reach
-- in:  $1 shard smallint, $2 wallets uuid[], $3 instants timestamptz[], one for each
-- out: per wallet: id; first, from which on all of its lines after the instant are; before, before which all of its
--      lines up to the instant are, or null: no entry is after it. No row: it has no entries
-- why: created_at has no index. The place is found by halving what lies between the first and the last entry, one
--      look-up each time. Hold steps stand between entries, on either side of the instant
WITH RECURSIVE halved AS (
    SELECT own.id, own.at, ends.low, ends.high
      FROM unnest($2::uuid[], $3::timestamptz[]) AS own (id, at)
     CROSS JOIN LATERAL (
            SELECT min(e.position) AS low, max(e.position) + 1 AS high
              FROM ledger_entries AS e
             WHERE e.shard = $1 AND e.wallet_id = own.id
           ) AS ends
    UNION ALL
    SELECT halved.id, halved.at,
           CASE WHEN probe.created_at <= halved.at THEN probe.position + 1 ELSE halved.low END,
           CASE
               WHEN probe.created_at <= halved.at THEN halved.high
               ELSE halved.low + (halved.high - halved.low) / 2
           END
      FROM halved
      LEFT JOIN LATERAL (
            SELECT e.position, e.created_at
              FROM ledger_entries AS e
             WHERE e.shard = $1
               AND e.wallet_id = halved.id
               AND e.position >= halved.low + (halved.high - halved.low) / 2
               AND e.position < halved.high
             ORDER BY e.position
             LIMIT 1
           ) AS probe ON true
     WHERE halved.low < halved.high
)
SELECT halved.id, halved.high AS first,
       (
           SELECT min(e.position) FROM ledger_entries AS e
            WHERE e.shard = $1 AND e.wallet_id = halved.id AND e.position >= halved.high
       ) AS before
  FROM halved
 WHERE halved.low >= halved.high;

-- name: walk_transactions_of_wallets
-- in:  $1 shard smallint, $2 wallets uuid[], of each $3 the first position and $4 the one before which to begin
--      bigint[]; the last line seen, or null: $5 created_at, $6 wallet uuid, $7 position; created_at $8 from and $9 to
--      or null, $10 lines to look at, $11 rows at most; filters, each or null: $12 type, $13 reference_id, $14 prefix
--      of it and $15 text beyond all that begin so, $16 key and $17 value of metadata
-- out: transactions with their place, each once: at the last of its lines on these wallets
-- why: the lines of a transaction on one wallet stand together. OFFSET 0 keeps the look-ups by key: one per line that
--      is walked, whatever the statistics say
WITH walked AS (
    SELECT line.created_at, line.wallet_id, line.position, line.transaction_id
      FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS own (id, first, before)
     CROSS JOIN LATERAL (
            (
                SELECT e.created_at, e.wallet_id, e.position, e.transaction_id
                  FROM ledger_entries AS e
                 WHERE e.shard = $1
                   AND e.wallet_id = own.id
                   AND e.position >= own.first
                   AND e.position < own.before
                   AND (
                       $5::timestamptz IS NULL
                       OR (e.created_at, e.wallet_id, e.position) < ($5, $6::uuid, $7::bigint)
                   )
                   AND ($8::timestamptz IS NULL OR e.created_at >= $8)
                   AND ($9::timestamptz IS NULL OR e.created_at < $9)
                 ORDER BY e.position DESC
                 LIMIT $10
            )
            UNION ALL
            (
                SELECT s.created_at, s.wallet_id, s.position, s.transaction_id
                  FROM hold_steps AS s
                 WHERE s.shard = $1
                   AND s.wallet_id = own.id
                   AND s.position >= own.first
                   AND s.position < own.before
                   AND (
                       $5::timestamptz IS NULL
                       OR (s.created_at, s.wallet_id, s.position) < ($5, $6::uuid, $7::bigint)
                   )
                   AND ($8::timestamptz IS NULL OR s.created_at >= $8)
                   AND ($9::timestamptz IS NULL OR s.created_at < $9)
                 ORDER BY s.position DESC
                 LIMIT $10
            )
           ) AS line
     ORDER BY line.created_at DESC, line.wallet_id DESC, line.position DESC
     LIMIT $10
)
SELECT t.id, t.origin, t.reference_id, t.fingerprint, t.type, t.metadata, t.created_at, t.effective_at, t.hold_id,
       t.refund_of, t.details, walked.created_at AS line_at, walked.wallet_id, walked.position
  FROM walked
 CROSS JOIN LATERAL (SELECT * FROM transactions WHERE shard = $1 AND id = walked.transaction_id OFFSET 0) AS t
 WHERE ($12::text IS NULL OR t.type = $12)
   AND ($13::text IS NULL OR t.reference_id = $13)
   AND ($14::text IS NULL OR t.reference_id >= $14)
   AND ($15::text IS NULL OR t.reference_id < $15)
   AND ($16::text IS NULL OR EXISTS (
        SELECT FROM metadata_members AS m
         WHERE m.shard = $1 AND m.owner_kind = 't' AND m.key = $16 AND m.value = $17 AND m.owner_id = t.id
       ))
   AND t.id IS DISTINCT FROM (
        SELECT e.transaction_id FROM ledger_entries AS e
         WHERE e.shard = $1 AND e.wallet_id = walked.wallet_id AND e.position = walked.position + 1
       )
   AND t.id IS DISTINCT FROM (
        SELECT s.transaction_id FROM hold_steps AS s
         WHERE s.shard = $1 AND s.wallet_id = walked.wallet_id AND s.position = walked.position + 1
       )
   AND NOT EXISTS (
        SELECT FROM (SELECT e.wallet_id FROM ledger_entries AS e WHERE e.transaction_id = t.id OFFSET 0) AS of_it
         WHERE of_it.wallet_id > walked.wallet_id AND of_it.wallet_id = ANY($2::uuid[])
       )
   AND NOT EXISTS (
        SELECT FROM (SELECT s.wallet_id FROM hold_steps AS s WHERE s.transaction_id = t.id OFFSET 0) AS of_it
         WHERE of_it.wallet_id > walked.wallet_id AND of_it.wallet_id = ANY($2::uuid[])
       )
 ORDER BY walked.created_at DESC, walked.wallet_id DESC, walked.position DESC
 LIMIT $11;

-- name: find_end_of_walk_of_wallets
-- in:  $1 to $10 as walk_transactions_of_wallets
-- out: the last line that it looked at, or no row: it looked at all there are
SELECT line.created_at, line.wallet_id, line.position
  FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS own (id, first, before)
 CROSS JOIN LATERAL (
        (
            SELECT e.created_at, e.wallet_id, e.position
              FROM ledger_entries AS e
             WHERE e.shard = $1
               AND e.wallet_id = own.id
               AND e.position >= own.first
               AND e.position < own.before
               AND (
                   $5::timestamptz IS NULL
                   OR (e.created_at, e.wallet_id, e.position) < ($5, $6::uuid, $7::bigint)
               )
               AND ($8::timestamptz IS NULL OR e.created_at >= $8)
               AND ($9::timestamptz IS NULL OR e.created_at < $9)
             ORDER BY e.position DESC
             LIMIT $10
        )
        UNION ALL
        (
            SELECT s.created_at, s.wallet_id, s.position
              FROM hold_steps AS s
             WHERE s.shard = $1
               AND s.wallet_id = own.id
               AND s.position >= own.first
               AND s.position < own.before
               AND (
                   $5::timestamptz IS NULL
                   OR (s.created_at, s.wallet_id, s.position) < ($5, $6::uuid, $7::bigint)
               )
               AND ($8::timestamptz IS NULL OR s.created_at >= $8)
               AND ($9::timestamptz IS NULL OR s.created_at < $9)
             ORDER BY s.position DESC
             LIMIT $10
        )
       ) AS line
 ORDER BY line.created_at DESC, line.wallet_id DESC, line.position DESC
 LIMIT 1 OFFSET $10 - 1;

-- name: list_transactions_of_wallets_by_reference
-- in:  $1 shard smallint, $2 wallets uuid[], $3 reference_id text, $4 rows to look at
-- out: transactions of all origins with this reference; seen: whether they have a line on one of these wallets
-- why: one in each origin, and origins are as many as users. Who gets as many rows as it asked for walks instead
SELECT t.id, t.origin, t.reference_id, t.fingerprint, t.type, t.metadata, t.created_at, t.effective_at, t.hold_id,
       t.refund_of, t.details,
       EXISTS (
           SELECT FROM ledger_entries AS e WHERE e.transaction_id = t.id AND e.wallet_id = ANY($2::uuid[])
       ) OR EXISTS (
           SELECT FROM hold_steps AS s WHERE s.transaction_id = t.id AND s.wallet_id = ANY($2::uuid[])
       ) AS seen
  FROM transactions AS t
 WHERE t.shard = $1 AND t.reference_id = $3
 LIMIT $4;

-- name: list_entries_of_wallets
-- in:  $1 shard smallint, $2 wallets uuid[], $3 of each the position before which to begin bigint[]; the last entry
--      seen, or null: $4 created_at, $5 wallet uuid, $6 position; $7 rows at most, $8 rows to skip
-- out: entries of these wallets
SELECT line.transaction_id, line.leg, line.position, line.wallet_id, a.code AS asset_code, line.direction, line.amount,
       line.balance_after, line.created_at
  FROM unnest($2::uuid[], $3::bigint[]) AS own (id, before)
 CROSS JOIN LATERAL (
        SELECT e.*
          FROM ledger_entries AS e
         WHERE e.shard = $1
           AND e.wallet_id = own.id
           AND e.position < own.before
           AND ($4::timestamptz IS NULL OR (e.created_at, e.wallet_id, e.position) < ($4, $5::uuid, $6::bigint))
         ORDER BY e.position DESC
         LIMIT $7::integer + $8::integer
       ) AS line
  JOIN assets AS a ON a.id = line.asset_id
 ORDER BY line.created_at DESC, line.wallet_id DESC, line.position DESC
 LIMIT $7 OFFSET $8;

-- name: find_transactions_touching
-- in:  $1 shard smallint, $2 transactions uuid[], $3 wallets uuid[]
-- out: ids of those that have an entry or a hold step on one of the wallets
SELECT transaction_id AS id
  FROM ledger_entries
 WHERE shard = $1 AND transaction_id = ANY($2::uuid[]) AND wallet_id = ANY($3::uuid[])
UNION
SELECT transaction_id
  FROM hold_steps
 WHERE shard = $1 AND transaction_id = ANY($2::uuid[]) AND wallet_id = ANY($3::uuid[]);

-- name: list_wallets_among
-- in:  $1 shard smallint, $2 wallets uuid[], $3 last id seen uuid or null, $4 rows at most; filters, each or null:
--      $5 user uuid, $6 label, $7 key and $8 value of metadata
-- out: ids of those that fit, descending
SELECT w.id
  FROM wallets AS w
 WHERE w.shard = $1
   AND w.id = ANY($2::uuid[])
   AND ($3::uuid IS NULL OR w.id < $3)
   AND ($5::uuid IS NULL OR w.user_id = $5)
   AND ($6::text IS NULL OR w.label = $6)
   AND ($7::text IS NULL OR EXISTS (
        SELECT FROM metadata_members AS m
         WHERE m.shard = $1 AND m.owner_kind = 'w' AND m.key = $7 AND m.value = $8 AND m.owner_id = w.id
       ))
 ORDER BY w.id DESC
 LIMIT $4;
