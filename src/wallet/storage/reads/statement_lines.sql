-- Lines of statements: a wallet's entries as they follow one another on an axis. Keyset-paged by position, or by time
-- of effect and position; an entry is in exactly one of the two lists that the effective axis is merged from.

-- name: read_now
-- out: the ledger's clock
SELECT ledger_now() AS now;

-- name: list_lines
-- in:  $1 shard smallint, $2 wallet uuid, $3 last position seen bigint, $4 last position wanted bigint,
--      $5 from timestamptz or null, $6 to timestamptz, $7 only those that took effect when posted boolean,
--      $8 rows at most
-- out: entries posted from $5 to before $6, ascending position; counterparty_wallet_id if there is but one other entry
-- why: OFFSET 0 keeps the look-ups of transactions look-ups: the server cannot guess how few entries are backdated
SELECT e.transaction_id, t.reference_id, t.type, e.direction, e.amount, e.balance_after, e.created_at, t.effective_at,
       e.position, other.wallet_id AS counterparty_wallet_id
  FROM ledger_entries AS e
 CROSS JOIN LATERAL (
       SELECT reference_id, type, effective_at FROM transactions
        WHERE shard = $1 AND id = e.transaction_id
       OFFSET 0
     ) AS t
 CROSS JOIN LATERAL (
       SELECT CASE WHEN count(*) = 1 THEN (array_agg(o.wallet_id))[1] END AS wallet_id
         FROM ledger_entries AS o
        WHERE o.shard = $1 AND o.transaction_id = e.transaction_id AND o.wallet_id <> e.wallet_id
     ) AS other
 WHERE e.shard = $1
   AND e.wallet_id = $2
   AND e.position > $3
   AND e.position <= $4
   AND ($5::timestamptz IS NULL OR e.created_at >= $5)
   AND e.created_at < $6
   AND (NOT $7::boolean OR t.effective_at = e.created_at)
 ORDER BY e.position
 LIMIT $8;

-- name: list_backdated_lines
-- in:  $1 shard smallint, $2 wallet uuid, $3 last time of effect seen timestamptz or null, $4 its position bigint,
--      $5 to timestamptz, $6 last position wanted bigint, $7 rows at most
-- out: entries that took effect before they were posted, and before $5, in order of effect
SELECT e.transaction_id, t.reference_id, t.type, e.direction, e.amount, e.balance_after, e.created_at, b.effective_at,
       e.position, other.wallet_id AS counterparty_wallet_id
  FROM backdated_entries AS b
  JOIN ledger_entries AS e ON e.shard = b.shard AND e.wallet_id = b.wallet_id AND e.position = b.position
 CROSS JOIN LATERAL (
       SELECT reference_id, type FROM transactions WHERE shard = $1 AND id = e.transaction_id OFFSET 0
     ) AS t
 CROSS JOIN LATERAL (
       SELECT CASE WHEN count(*) = 1 THEN (array_agg(o.wallet_id))[1] END AS wallet_id
         FROM ledger_entries AS o
        WHERE o.shard = $1 AND o.transaction_id = e.transaction_id AND o.wallet_id <> e.wallet_id
     ) AS other
 WHERE b.shard = $1
   AND b.wallet_id = $2
   AND (b.effective_at, b.position) > (coalesce($3::timestamptz, '-infinity'), $4::bigint)
   AND b.effective_at < $5
   AND b.position <= $6
 ORDER BY b.effective_at, b.position
 LIMIT $7;

-- name: sum_lines
-- in:  as of list_lines
-- out: seen: how many entries were looked at, at most $8; credits and debits among them as numeric
-- why: bounded, because it is the one part of a statement that is not a look-up
SELECT count(*) AS seen,
       coalesce(sum(e.amount) FILTER (WHERE e.is_wanted AND e.direction > 0), 0) AS credits,
       coalesce(sum(e.amount) FILTER (WHERE e.is_wanted AND e.direction < 0), 0) AS debits
  FROM (
        SELECT bounded.direction, bounded.amount,
               NOT $7::boolean OR (
                   SELECT t.effective_at = bounded.created_at FROM transactions AS t
                    WHERE t.shard = $1 AND t.id = bounded.transaction_id
               ) AS is_wanted
          FROM (
                SELECT direction, amount, created_at, transaction_id
                  FROM ledger_entries
                 WHERE shard = $1
                   AND wallet_id = $2
                   AND position > $3
                   AND position <= $4
                   AND ($5::timestamptz IS NULL OR created_at >= $5)
                   AND created_at < $6
                 ORDER BY position
                 LIMIT $8
               ) AS bounded
       ) AS e;

-- name: sum_backdated_lines
-- in:  as of list_backdated_lines
-- out: as of sum_lines
SELECT count(*) AS seen,
       coalesce(sum(b.change) FILTER (WHERE b.change > 0), 0) AS credits,
       coalesce(-sum(b.change) FILTER (WHERE b.change < 0), 0) AS debits
  FROM (
        SELECT change
          FROM backdated_entries
         WHERE shard = $1
           AND wallet_id = $2
           AND (effective_at, position) > (coalesce($3::timestamptz, '-infinity'), $4::bigint)
           AND effective_at < $5
           AND position <= $6
         ORDER BY effective_at, position
         LIMIT $7
       ) AS b;
