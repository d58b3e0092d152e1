-- Entries by the page, newest first: of all wallets, of one, or of some; and the place of an instant among the lines of
-- wallets. A null key is the beginning of a list, and one row more than a page holds tells whether there is a next one.

-- name: list_entries
-- in:  $1 shard smallint, $2 last transaction seen uuid or null, $3 its last leg seen smallint, $4 rows at most,
--      $5 rows to skip
-- out: entries of all wallets, newest transaction first, in order of leg within one
-- why: the first condition is implied by the second, and is the one an index can use
SELECT e.transaction_id, e.leg, e.position, e.wallet_id, a.code AS asset_code, e.direction, e.amount,
       e.balance_after, e.created_at
  FROM ledger_entries AS e
  JOIN assets AS a ON a.id = e.asset_id
 WHERE e.shard = $1
   AND ($2::uuid IS NULL OR e.transaction_id <= $2::uuid)
   AND ($2::uuid IS NULL OR e.transaction_id < $2::uuid OR e.leg > $3::smallint)
 ORDER BY e.transaction_id DESC, e.leg
 LIMIT $4 OFFSET $5;

-- name: list_entries_of_wallet
-- in:  $1 shard smallint, $2 wallet uuid, $3 last position seen bigint or null, $4 rows at most
-- out: the wallet's entries, newest first: descending position, which is exactly the order they were posted in
SELECT e.transaction_id, e.leg, e.position, e.wallet_id, a.code AS asset_code, e.direction, e.amount,
       e.balance_after, e.created_at
  FROM ledger_entries AS e
  JOIN assets AS a ON a.id = e.asset_id
 WHERE e.shard = $1
   AND e.wallet_id = $2
   AND ($3::bigint IS NULL OR e.position < $3::bigint)
 ORDER BY e.position DESC
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

-- name: find_reach
-- in:  $1 shard smallint, $2 wallets uuid[], $3 instant
-- out: per wallet: id; first, from which on all of its lines after the instant are; before, before which all of its
--      lines up to the instant are, or null: no entry is after it. No row: it has no entries
-- why: created_at has no index. The place is found by halving what lies between the first and the last entry, one
--      look-up each time. Hold steps stand between entries, on either side of the instant
WITH RECURSIVE halved AS (
    SELECT own.id, ends.low, ends.high
      FROM unnest($2::uuid[]) AS own (id)
     CROSS JOIN LATERAL (
            SELECT min(e.position) AS low, max(e.position) + 1 AS high
              FROM ledger_entries AS e
             WHERE e.shard = $1 AND e.wallet_id = own.id
           ) AS ends
    UNION ALL
    SELECT halved.id,
           CASE WHEN probe.created_at <= $3 THEN probe.position + 1 ELSE halved.low END,
           CASE WHEN probe.created_at <= $3 THEN halved.high ELSE halved.low + (halved.high - halved.low) / 2 END
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
