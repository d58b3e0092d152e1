-- Lists of transactions, for every caller: of all wallets, or of some (docs/filters.md).  A list is a walk:
-- walk_transactions runs over one of the tracks below, WITH walked AS (the track). A track reads along one index that
-- has its lines in the order of the list, and ends after a number of them; the walk leaves out lines that the other
-- filters do not want. So no query is ever slow, however rare the wanted rows are: if the track ends before the page is
-- full, the next query goes on.
--
-- All tracks have the same columns: those of transactions, and
--   number      of the line, from 1
--   is_listed   whether the transaction is listed at this line, and at no other of its lines
--   by_reference_id, by_origin, by_created_at, by_wallet_id, by_position, by_id
--               the place of the line in the order of the list. Null where the list has another order: to the planner a
--               constant, so that it sorts by what is left, which the lines of the track are sorted by already
--
-- noqa: disable=AM04

-- name: walk_transactions
-- in:  $1 shard smallint, $2 lines to look at, $3 rows at most; filters, each or null: $4 type, created_at $5 from and
--      $6 to, $7 reference_id, $8 prefix of it and $9 text beyond all that begin so, $10 key and $11 value of metadata;
--      from $12 on, what the track takes
-- out: transactions with their places in the list's order; besides, is_last: so many lines have been looked at, and
--      is_wanted: only the last one may be unwanted
SELECT walked.id, walked.origin, walked.reference_id, walked.fingerprint, walked.type, walked.metadata,
       walked.created_at, walked.effective_at, walked.hold_id, walked.refund_of, walked.details,
       walked.by_reference_id, walked.by_origin, walked.by_created_at, walked.by_wallet_id, walked.by_position,
       walked.by_id, walked.number = $2 AS is_last, walked.number < $2 OR its.is_wanted AS is_wanted
  FROM walked
 CROSS JOIN LATERAL (
        SELECT ($4::text IS NULL OR walked.type = $4)
           AND ($5::timestamptz IS NULL OR walked.created_at >= $5)
           AND ($6::timestamptz IS NULL OR walked.created_at < $6)
           AND ($7::text IS NULL OR walked.reference_id = $7)
           AND ($8::text IS NULL OR walked.reference_id >= $8)
           AND ($9::text IS NULL OR walked.reference_id < $9)
           AND ($10::text IS NULL OR EXISTS (
                SELECT FROM metadata_members AS m
                 WHERE m.shard = $1 AND m.owner_kind = 't' AND m.key = $10 AND m.value = $11 AND m.owner_id = walked.id
                OFFSET 0
               ))
           AND walked.is_listed AS is_wanted
       ) AS its
 WHERE its.is_wanted OR walked.number = $2
 ORDER BY walked.by_reference_id, walked.by_origin, walked.by_created_at DESC, walked.by_wallet_id DESC,
          walked.by_position DESC, walked.by_id DESC
 LIMIT $3;

-- name: along_ids
-- in:  $12 first id of all that may be wanted, $13 id before which to begin, $14 lines to skip
-- out: all transactions, descending id, which is close to the order of time
SELECT NULL::text AS by_reference_id, NULL::text AS by_origin, NULL::timestamptz AS by_created_at,
       NULL::uuid AS by_wallet_id, NULL::bigint AS by_position, line.id AS by_id, line.*, true AS is_listed
  FROM (
        SELECT *, row_number() OVER (ORDER BY id DESC) AS number
          FROM transactions
         WHERE shard = $1 AND id >= $12 AND id < $13
         ORDER BY id DESC
         LIMIT $2 OFFSET $14
       ) AS line;

-- name: along_type
-- in:  $12 first id of all that may be wanted, $13 id before which to begin, $14 lines to skip
-- out: transactions of a type, descending id
-- why: the list of types is that of the index, which leaves out the ones that most transactions are of
SELECT NULL::text AS by_reference_id, NULL::text AS by_origin, NULL::timestamptz AS by_created_at,
       NULL::uuid AS by_wallet_id, NULL::bigint AS by_position, line.id AS by_id, line.*, true AS is_listed
  FROM (
        SELECT *, row_number() OVER (ORDER BY id DESC) AS number
          FROM transactions
         WHERE shard = $1
           AND type = $4
           AND type NOT IN ('topup', 'bonus', 'spend', 'transfer')
           AND id >= $12
           AND id < $13
         ORDER BY id DESC
         LIMIT $2 OFFSET $14
       ) AS line;

-- name: along_reference
-- in:  $12 first id of all that may be wanted, $13 id before which to begin, $14 lines to skip
-- out: the transactions of all origins with this reference, descending id
SELECT NULL::text AS by_reference_id, NULL::text AS by_origin, NULL::timestamptz AS by_created_at,
       NULL::uuid AS by_wallet_id, NULL::bigint AS by_position, line.id AS by_id, line.*, true AS is_listed
  FROM (
        SELECT *, row_number() OVER (ORDER BY id DESC) AS number
          FROM transactions
         WHERE shard = $1 AND reference_id = $7 AND id >= $12 AND id < $13
         ORDER BY id DESC
         LIMIT $2 OFFSET $14
       ) AS line;

-- name: along_prefix
-- in:  $12 last reference_id seen text and $13 its origin, or null
-- out: transactions whose reference begins so, in the order of reference and origin
-- why: the list is not newest first: to find its newest twenty, all of a million references with one prefix would have
--      to be read
SELECT line.reference_id AS by_reference_id, line.origin AS by_origin, NULL::timestamptz AS by_created_at,
       NULL::uuid AS by_wallet_id, NULL::bigint AS by_position, NULL::uuid AS by_id, line.*, true AS is_listed
  FROM (
        SELECT *, row_number() OVER (ORDER BY reference_id, origin) AS number
          FROM transactions
         WHERE shard = $1
           AND reference_id >= $8
           AND ($9::text IS NULL OR reference_id < $9)
           AND ($12::text IS NULL OR (reference_id, origin) > ($12, $13::text))
         ORDER BY reference_id, origin
         LIMIT $2
       ) AS line;

-- name: along_member
-- in:  $12 first id of all that may be wanted, $13 id before which to begin, $14 key text, $15 value text
-- out: transactions whose metadata has this member, descending id
-- why: OFFSET 0, here and below, keeps the look-ups by key: one per line, whatever the statistics say
SELECT NULL::text AS by_reference_id, NULL::text AS by_origin, NULL::timestamptz AS by_created_at,
       NULL::uuid AS by_wallet_id, NULL::bigint AS by_position, line.owner_id AS by_id, t.*, line.number,
       true AS is_listed
  FROM (
        SELECT owner_id, row_number() OVER (ORDER BY owner_id DESC) AS number
          FROM metadata_members
         WHERE shard = $1
           AND owner_kind = 't'
           AND key = $14
           AND value = $15
           AND owner_id >= $12
           AND owner_id < $13
         ORDER BY owner_id DESC
         LIMIT $2
       ) AS line
 CROSS JOIN LATERAL (SELECT * FROM transactions WHERE shard = $1 AND id = line.owner_id OFFSET 0) AS t;

-- name: along_wallet
-- in:  $12 first position of all that may be wanted, $13 position before which to begin, $14 wallet uuid
-- out: its lines, which are entries and hold steps, descending position
-- why: they share one series of positions, and a transaction with several of them has them in a row. A limit in each
--      half: the planner would sort the whole history for one around both
SELECT NULL::text AS by_reference_id, NULL::text AS by_origin, NULL::timestamptz AS by_created_at,
       NULL::uuid AS by_wallet_id, line.position AS by_position, NULL::uuid AS by_id, t.*, line.number,
       coalesce(t.id <> (
           SELECT e.transaction_id FROM ledger_entries AS e
            WHERE e.shard = $1 AND e.wallet_id = $14 AND e.position = line.position - 1
       ), true)
       AND coalesce(t.id <> (
           SELECT s.transaction_id FROM hold_steps AS s
            WHERE s.shard = $1 AND s.wallet_id = $14 AND s.position = line.position - 1
       ), true) AS is_listed
  FROM (
        SELECT position, transaction_id, row_number() OVER (ORDER BY position DESC) AS number
          FROM (
                (
                    SELECT position, transaction_id
                      FROM ledger_entries
                     WHERE shard = $1 AND wallet_id = $14 AND position >= $12 AND position < $13
                     ORDER BY position DESC
                     LIMIT $2
                )
                UNION ALL
                (
                    SELECT position, transaction_id
                      FROM hold_steps
                     WHERE shard = $1 AND wallet_id = $14 AND position >= $12 AND position < $13
                     ORDER BY position DESC
                     LIMIT $2
                )
               ) AS either
         ORDER BY position DESC
         LIMIT $2
       ) AS line
 CROSS JOIN LATERAL (SELECT * FROM transactions WHERE shard = $1 AND id = line.transaction_id OFFSET 0) AS t;

-- name: along_wallets
-- in:  $12 wallets uuid[], of each $13 the first position and $14 the one before which to begin bigint[]; the last line
--      seen, or null: $15 created_at, $16 wallet uuid, $17 position
-- out: the lines of these wallets, newest first: by created_at, then wallet and position, all descending
-- why: created_at never falls along the positions of a locked wallet, so each history has this order, too. No row of
--      any other wallet is read, however rare the wanted rows are
SELECT NULL::text AS by_reference_id, NULL::text AS by_origin, line.created_at AS by_created_at,
       line.wallet_id AS by_wallet_id, line.position AS by_position, NULL::uuid AS by_id, t.*, line.number,
       coalesce(t.id <> (
           SELECT e.transaction_id FROM ledger_entries AS e
            WHERE e.shard = $1 AND e.wallet_id = line.wallet_id AND e.position = line.position + 1
       ), true)
       AND coalesce(t.id <> (
           SELECT s.transaction_id FROM hold_steps AS s
            WHERE s.shard = $1 AND s.wallet_id = line.wallet_id AND s.position = line.position + 1
       ), true)
       AND NOT EXISTS (
           SELECT FROM (
               SELECT e.wallet_id FROM ledger_entries AS e WHERE e.shard = $1 AND e.transaction_id = t.id OFFSET 0
           ) AS of_it
            WHERE of_it.wallet_id > line.wallet_id AND of_it.wallet_id = ANY($12::uuid[])
       )
       AND NOT EXISTS (
           SELECT FROM (
               SELECT s.wallet_id FROM hold_steps AS s WHERE s.shard = $1 AND s.transaction_id = t.id OFFSET 0
           ) AS of_it
            WHERE of_it.wallet_id > line.wallet_id AND of_it.wallet_id = ANY($12::uuid[])
       ) AS is_listed
  FROM (
        SELECT line.*,
               row_number() OVER (ORDER BY line.created_at DESC, line.wallet_id DESC, line.position DESC) AS number
          FROM unnest($12::uuid[], $13::bigint[], $14::bigint[]) AS own (id, first, before)
         CROSS JOIN LATERAL (
                (
                    SELECT created_at, wallet_id, position, transaction_id
                      FROM ledger_entries
                     WHERE shard = $1
                       AND wallet_id = own.id
                       AND position >= own.first
                       AND position < own.before
                       AND (
                           $15::timestamptz IS NULL
                           OR (created_at, wallet_id, position) < ($15, $16::uuid, $17::bigint)
                       )
                       AND ($5::timestamptz IS NULL OR created_at >= $5)
                       AND ($6::timestamptz IS NULL OR created_at < $6)
                     ORDER BY position DESC
                     LIMIT $2
                )
                UNION ALL
                (
                    SELECT created_at, wallet_id, position, transaction_id
                      FROM hold_steps
                     WHERE shard = $1
                       AND wallet_id = own.id
                       AND position >= own.first
                       AND position < own.before
                       AND (
                           $15::timestamptz IS NULL
                           OR (created_at, wallet_id, position) < ($15, $16::uuid, $17::bigint)
                       )
                       AND ($5::timestamptz IS NULL OR created_at >= $5)
                       AND ($6::timestamptz IS NULL OR created_at < $6)
                     ORDER BY position DESC
                     LIMIT $2
                )
               ) AS line
         ORDER BY line.created_at DESC, line.wallet_id DESC, line.position DESC
         LIMIT $2
       ) AS line
 CROSS JOIN LATERAL (SELECT * FROM transactions WHERE shard = $1 AND id = line.transaction_id OFFSET 0) AS t;

-- name: find_clock_offset
-- out: how far the ledger's clock, which gives created_at, is ahead of the clocks that make ids
SELECT advanced
  FROM sandbox_clock;

-- name: list_transactions_with_reference
-- in:  $1 shard smallint, $2 reference_id text, $3 wallets uuid[], $4 rows at most
-- out: transactions of all origins with this reference; is_theirs: whether one has a line on one of these wallets
-- why: there may be one in each origin, and there are as many origins as users. A list that gets as many rows as it
--      asked for is walked instead
SELECT t.id, t.origin, t.reference_id, t.fingerprint, t.type, t.metadata, t.created_at, t.effective_at, t.hold_id,
       t.refund_of, t.details,
       EXISTS (
           SELECT FROM ledger_entries AS e
            WHERE e.shard = $1 AND e.transaction_id = t.id AND e.wallet_id = ANY($3::uuid[])
       ) OR EXISTS (
           SELECT FROM hold_steps AS s
            WHERE s.shard = $1 AND s.transaction_id = t.id AND s.wallet_id = ANY($3::uuid[])
       ) AS is_theirs
  FROM transactions AS t
 WHERE t.shard = $1 AND t.reference_id = $2
 LIMIT $4;
