-- What happened: transactions, entries, declines. Every list is keyset-paged: a null key is its beginning, and one row
-- more than a page holds tells whether there is a next one.
--
-- What filters find (docs/filters.md): a walk goes along one index that has its rows in the order of the list, looks at
-- a bounded number of them, and leaves out those that the other filters do not want. So no question is ever slow,
-- however rare what it asks for: where the walk ended before the page was full, the next one goes on from there.

-- name: list_transactions
-- in:  $1 shard smallint, $2 the one wanted uuid or null, $3 reference_id text or null, $4 last id seen uuid or null,
--      $5 rows at most, $6 rows to skip
-- out: transactions of all origins, newest first: descending id, which is close to the order of time
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM transactions
 WHERE shard = $1
   AND ($2::uuid IS NULL OR id = $2::uuid)
   AND ($3::text IS NULL OR reference_id = $3::text)
   AND ($4::uuid IS NULL OR id < $4::uuid)
 ORDER BY id DESC
 LIMIT $5 OFFSET $6;

-- name: list_transactions_by_prefix
-- in:  $1 shard smallint, $2 prefix text, $3 text that is beyond all that begin with it, or null, $4 last reference_id
--      seen text and $5 its origin, or null, $6 rows at most
-- out: transactions whose reference begins with the prefix, in the order of reference and origin
-- why: not newest first: a prefix of a million references would have to be read whole for its newest twenty
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM transactions
 WHERE shard = $1
   AND reference_id >= $2
   AND ($3::text IS NULL OR reference_id < $3::text)
   AND ($4::text IS NULL OR (reference_id, origin) > ($4::text, $5::text))
 ORDER BY reference_id, origin
 LIMIT $6;

-- name: find_clock_offset
-- out: how far the ledger's clock, which created_at is by, is ahead of the clocks that ids are made by
SELECT advanced
  FROM sandbox_clock;

-- name: walk_transactions
-- in:  $1 shard smallint, $2 first id of all that may be wanted, $3 id before which to begin, $4 type text or null,
--      created_at $5 from and $6 to or null, $7 rows at most, $8 rows to look at
-- out: transactions, descending id
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM (
        SELECT * FROM transactions
         WHERE shard = $1 AND id >= $2 AND id < $3
         ORDER BY id DESC
         LIMIT $8
       ) AS walked
 WHERE ($4::text IS NULL OR type = $4::text)
   AND ($5::timestamptz IS NULL OR created_at >= $5::timestamptz)
   AND ($6::timestamptz IS NULL OR created_at < $6::timestamptz)
 ORDER BY id DESC
 LIMIT $7;

-- name: find_end_of_walk
-- in:  $1 shard smallint, $2 first id, $3 id before which to begin, $4 rows to look at
-- out: the last id that walk_transactions looked at, or no row: it looked at all there are
SELECT id
  FROM transactions
 WHERE shard = $1 AND id >= $2 AND id < $3
 ORDER BY id DESC
 LIMIT 1 OFFSET $4 - 1;

-- name: walk_transactions_of_type
-- in:  $1 shard smallint, $2 first id of all that may be wanted, $3 id before which to begin, $4 type text,
--      created_at $5 from and $6 to or null, $7 rows at most, $8 rows to look at
-- out: transactions, descending id
-- why: the list of types is that of the index, which leaves out the ones that most transactions are of
SELECT id, origin, reference_id, fingerprint, type, metadata, created_at, effective_at, hold_id, refund_of, details
  FROM (
        SELECT * FROM transactions
         WHERE shard = $1
           AND type = $4
           AND type NOT IN ('topup', 'bonus', 'spend', 'transfer')
           AND id >= $2
           AND id < $3
         ORDER BY id DESC
         LIMIT $8
       ) AS walked
 WHERE ($5::timestamptz IS NULL OR created_at >= $5::timestamptz)
   AND ($6::timestamptz IS NULL OR created_at < $6::timestamptz)
 ORDER BY id DESC
 LIMIT $7;

-- name: find_end_of_walk_of_type
-- in:  $1 shard smallint, $2 first id, $3 id before which to begin, $4 rows to look at, $5 type text
-- out: the last id that walk_transactions_of_type looked at, or no row: it looked at all there are
SELECT id
  FROM transactions
 WHERE shard = $1
   AND type = $5
   AND type NOT IN ('topup', 'bonus', 'spend', 'transfer')
   AND id >= $2
   AND id < $3
 ORDER BY id DESC
 LIMIT 1 OFFSET $4 - 1;

-- name: walk_transactions_by_metadata
-- in:  $1 shard smallint, $2 first id of all that may be wanted, $3 id before which to begin, $4 type text or null,
--      created_at $5 from and $6 to or null, $7 rows at most, $8 rows to look at, $9 key text, $10 value text
-- out: transactions whose metadata has this member, descending id
-- why: OFFSET 0 keeps the look-up by key: one per row that is walked, whatever the statistics say
SELECT t.id, t.origin, t.reference_id, t.fingerprint, t.type, t.metadata, t.created_at, t.effective_at, t.hold_id,
       t.refund_of, t.details
  FROM (
        SELECT owner_id FROM metadata_members
         WHERE shard = $1
           AND owner_kind = 't'
           AND key = $9
           AND value = $10
           AND owner_id >= $2
           AND owner_id < $3
         ORDER BY owner_id DESC
         LIMIT $8
       ) AS walked
 CROSS JOIN LATERAL (SELECT * FROM transactions WHERE shard = $1 AND id = walked.owner_id OFFSET 0) AS t
 WHERE ($4::text IS NULL OR t.type = $4::text)
   AND ($5::timestamptz IS NULL OR t.created_at >= $5::timestamptz)
   AND ($6::timestamptz IS NULL OR t.created_at < $6::timestamptz)
 ORDER BY walked.owner_id DESC
 LIMIT $7;

-- name: find_end_of_walk_by_metadata
-- in:  $1 shard smallint, $2 first id, $3 id before which to begin, $4 rows to look at, $5 key text, $6 value text
-- out: the last id that walk_transactions_by_metadata looked at, or no row: it looked at all there are
SELECT owner_id AS id
  FROM metadata_members
 WHERE shard = $1
   AND owner_kind = 't'
   AND key = $5
   AND value = $6
   AND owner_id >= $2
   AND owner_id < $3
 ORDER BY owner_id DESC
 LIMIT 1 OFFSET $4 - 1;

-- name: find_position_after
-- in:  $1 shard smallint, $2 wallet uuid, $3 instant
-- out: the position after the wallet's last entry up to the instant: all lines from then on are after it, or are hold
--      steps that stand between two entries; no row: there are no entries
-- why: created_at has no index. Along positions it never falls, so the place is found by halving what lies between the
--      first and the last entry, one look-up each time
WITH RECURSIVE halved AS (
    SELECT min(position) AS low, max(position) + 1 AS high
      FROM ledger_entries
     WHERE shard = $1 AND wallet_id = $2
    UNION ALL
    SELECT CASE WHEN probe.created_at <= $3 THEN probe.position + 1 ELSE halved.low END,
           CASE WHEN probe.created_at <= $3 THEN halved.high ELSE halved.low + (halved.high - halved.low) / 2 END
      FROM halved
      LEFT JOIN LATERAL (
            SELECT e.position, e.created_at
              FROM ledger_entries AS e
             WHERE e.shard = $1
               AND e.wallet_id = $2
               AND e.position >= halved.low + (halved.high - halved.low) / 2
               AND e.position < halved.high
             ORDER BY e.position
             LIMIT 1
           ) AS probe ON true
     WHERE halved.low < halved.high
)
SELECT high
  FROM halved
 WHERE low >= high;

-- name: find_next_entry
-- in:  $1 shard smallint, $2 wallet uuid, $3 position
-- out: the position of the wallet's first entry from there on, or null
SELECT min(position)
  FROM ledger_entries
 WHERE shard = $1 AND wallet_id = $2 AND position >= $3;

-- name: walk_transactions_of_wallet
-- in:  $1 shard smallint, $2 first position of all that may be wanted, $3 position before which to begin, $4 type text
--      or null, created_at $5 from and $6 to or null, $7 rows at most, $8 lines to look at, $9 wallet uuid
-- out: transactions that have an entry or a hold step there, each with its first position, descending position
-- why: entries and hold steps share one series of positions; a transaction with several lines has them in a row, and
--      is listed with the first of them, so that a page may end anywhere
SELECT t.id, t.origin, t.reference_id, t.fingerprint, t.type, t.metadata, t.created_at, t.effective_at, t.hold_id,
       t.refund_of, t.details, walked.position
  FROM (
        SELECT position, transaction_id, created_at
          FROM (
                (
                    SELECT e.position, e.transaction_id, e.created_at
                      FROM ledger_entries AS e
                     WHERE e.shard = $1 AND e.wallet_id = $9 AND e.position >= $2 AND e.position < $3
                     ORDER BY e.position DESC
                     LIMIT $8
                )
                UNION ALL
                (
                    SELECT s.position, s.transaction_id, s.created_at
                      FROM hold_steps AS s
                     WHERE s.shard = $1 AND s.wallet_id = $9 AND s.position >= $2 AND s.position < $3
                     ORDER BY s.position DESC
                     LIMIT $8
                )
               ) AS line
         ORDER BY position DESC
         LIMIT $8
       ) AS walked
 CROSS JOIN LATERAL (SELECT * FROM transactions WHERE shard = $1 AND id = walked.transaction_id OFFSET 0) AS t
 WHERE ($4::text IS NULL OR t.type = $4::text)
   AND ($5::timestamptz IS NULL OR walked.created_at >= $5::timestamptz)
   AND ($6::timestamptz IS NULL OR walked.created_at < $6::timestamptz)
   AND walked.transaction_id IS DISTINCT FROM (
        SELECT e.transaction_id FROM ledger_entries AS e
         WHERE e.shard = $1 AND e.wallet_id = $9 AND e.position = walked.position - 1
       )
   AND walked.transaction_id IS DISTINCT FROM (
        SELECT s.transaction_id FROM hold_steps AS s
         WHERE s.shard = $1 AND s.wallet_id = $9 AND s.position = walked.position - 1
       )
 ORDER BY walked.position DESC
 LIMIT $7;

-- name: find_end_of_walk_of_wallet
-- in:  $1 shard smallint, $2 first position, $3 position before which to begin, $4 lines to look at, $5 wallet uuid
-- out: the last position that walk_transactions_of_wallet looked at, or no row: it looked at all there are
SELECT position
  FROM (
        (
            SELECT e.position FROM ledger_entries AS e
             WHERE e.shard = $1 AND e.wallet_id = $5 AND e.position >= $2 AND e.position < $3
             ORDER BY e.position DESC
             LIMIT $4
        )
        UNION ALL
        (
            SELECT s.position FROM hold_steps AS s
             WHERE s.shard = $1 AND s.wallet_id = $5 AND s.position >= $2 AND s.position < $3
             ORDER BY s.position DESC
             LIMIT $4
        )
       ) AS line
 ORDER BY position DESC
 LIMIT 1 OFFSET $4 - 1;

-- name: list_refunds
-- in:  $1 shard smallint, $2 original uuid, $3 rows at most
-- out: the transactions that refund it, newest first, each with the sum of its debits as numeric; on every row what was
--      refunded in all, in amount and in times
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
