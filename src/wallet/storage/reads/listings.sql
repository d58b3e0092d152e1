-- Transactions one by one, refunds and refusals.

-- name: find_transaction
-- in:  $1 shard smallint, $2 id uuid
-- out: the transaction, or no row
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM transactions
 WHERE shard = $1 AND id = $2;

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

-- name: list_refunds
-- in:  $1 shard smallint, $2 original uuid, $3 rows at most
-- out: the transactions that refund it, newest first, each with the sum of its debits as numeric; on every row the
--      amount and the number of all refunds
-- why: one statement, so that the sums are those of the refunds it shows
SELECT t.id, t.reference_id, t.created_at, state.refunded, state.refunds,
       (
           SELECT sum(e.amount) FROM ledger_entries AS e
            WHERE e.shard = $1 AND e.transaction_id = t.id AND e.direction = -1
       ) AS amount
  FROM transactions AS t
  JOIN refund_states AS state ON state.shard = $1 AND state.original_id = $2
 WHERE t.shard = $1 AND t.refund_of = $2
 ORDER BY t.id DESC
 LIMIT $3;

-- name: list_declines
-- in:  $1 shard smallint, $2 reference_id text, $3 last id seen bigint or null, $4 rows at most, $5 origin text or null
-- out: refusals of requests with this reference, of all origins or of one, newest first
SELECT id, created_at, wallet_id, origin, reference_id, type, code, required, available
  FROM declines
 WHERE shard = $1
   AND reference_id = $2
   AND ($3::bigint IS NULL OR id < $3::bigint)
   AND ($5::text IS NULL OR origin = $5::text)
 ORDER BY id DESC
 LIMIT $4;
