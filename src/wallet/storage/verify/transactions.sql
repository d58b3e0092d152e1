-- Transactions, and both sides of their entries.

-- name: next_transactions
-- in:  $1 shard, $2 after id or null, $3 how many
SELECT count(*) AS rows, (array_agg(id ORDER BY id DESC))[1] AS id
  FROM (
        SELECT id FROM transactions WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
       ) AS next;

-- name: check_transactions
-- in:  $1 shard, $2 after id, $3 up to id
-- why: OFFSET 0 prevents other plans. Entries are found only by their transaction, and batches by one probe per
--      transaction, since they have no range here
WITH netted AS (
    SELECT transaction_id, asset_id, count(*) AS entries, sum(direction * amount::numeric) AS net,
           sum(leg) AS legs, sum(leg::integer * leg) AS squares
      FROM (
            SELECT *
              FROM ledger_entries
             WHERE shard = $1
               AND ($2::uuid IS NULL OR transaction_id > $2)
               AND ($3::uuid IS NULL OR transaction_id <= $3)
            OFFSET 0
           ) AS e
     GROUP BY transaction_id, asset_id
),
summed AS (
    SELECT transaction_id, sum(entries) AS entries, sum(legs) AS legs, sum(squares) AS squares,
           string_agg(format('%s of asset %s', net, asset_id), ', ' ORDER BY asset_id) FILTER (WHERE net <> 0) AS rest
      FROM netted
     GROUP BY transaction_id
),
judged AS MATERIALIZED (
    SELECT t.id, t.seq, t.created_at, t.type, t.hold_id, t.refund_of, coalesce(summed.entries, 0) AS entries,
           coalesce(summed.legs, 0) AS legs, coalesce(summed.squares, 0) AS squares,
           summed.rest, batch.seq AS batch_seq, batch.created_at AS batch_at,
           t.type IN ('hold', 'void', 'increase', 'extend')
           OR (t.type IN ('claim_place', 'claim_cancel') AND t.hold_id IS NOT NULL)
           OR (t.type = 'expiry' AND t.hold_id IS NOT NULL)
           OR (t.type = 'grant' AND coalesce(t.details LIKE '%"skipped":%', false)) AS moves_nothing
      FROM transactions AS t
      LEFT JOIN summed ON summed.transaction_id = t.id
      LEFT JOIN LATERAL (
            SELECT seq, created_at FROM batches WHERE shard = $1 AND seq = t.seq OFFSET 0
           ) AS batch ON true
     WHERE t.shard = $1 AND ($2::uuid IS NULL OR t.id > $2) AND ($3::uuid IS NULL OR t.id <= $3)
)
(SELECT 1 AS law, 'credits_equal_debits' AS check_name, format('transactions (shard %s, id %s)', $1, id) AS location,
        'credits - debits = 0 in each asset' AS expected, rest AS found
   FROM judged WHERE rest IS NOT NULL ORDER BY id LIMIT 1)
UNION ALL
(SELECT 1, 'transaction_has_entries', format('transactions (shard %s, id %s)', $1, id),
        'at least 2 entries', entries::text
   FROM judged
  WHERE entries < 2 AND NOT moves_nothing AND NOT (type = 'merge' AND entries = 0) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 1, 'transaction_that_moves_nothing_has_no_entries', format('transactions (shard %s, id %s)', $1, id),
        'no entries', entries::text
   FROM judged WHERE entries > 0 AND moves_nothing ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'transaction_names_its_hold', format('transactions (shard %s, id %s)', $1, id), 'a hold_id', 'none'
   FROM judged
  WHERE hold_id IS NULL AND type IN ('hold', 'capture', 'void', 'increase', 'extend') ORDER BY id LIMIT 1)
UNION ALL
(SELECT 7, 'refund_names_its_original', format('transactions (shard %s, id %s)', $1, id),
        CASE type WHEN 'refund' THEN 'refund_of' ELSE 'no refund_of' END, coalesce(refund_of::text, 'none')
   FROM judged WHERE (type = 'refund') <> (refund_of IS NOT NULL) ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'legs_have_no_gap', format('transactions (shard %s, id %s)', $1, id),
        format('legs from 0 to %s', entries - 1), format('legs that add up to %s, their squares to %s', legs, squares)
   FROM judged
  WHERE legs <> entries * (entries - 1) / 2 OR squares <> entries * (entries - 1) * (2 * entries - 1) / 6
  ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'transaction_has_its_batch', format('transactions (shard %s, id %s)', $1, id),
        format('batch %s', seq), 'none'
   FROM judged WHERE batch_seq IS NULL ORDER BY id LIMIT 1)
UNION ALL
(SELECT 4, 'transaction_has_the_time_of_its_batch', format('transactions (shard %s, id %s)', $1, id),
        batch_at::text, created_at::text
   FROM judged WHERE created_at <> batch_at ORDER BY id LIMIT 1);

-- name: check_entries_of_transactions
-- in:  $1 shard, $2 after transaction id, $3 up to transaction id
-- why: OFFSET 0 in subqueries for few rows: without it, they may be planned as a join over the whole table
WITH judged AS MATERIALIZED (
    SELECT e.wallet_id, e.position, e.transaction_id, e.created_at, e.balance_after,
           t.id AS known_transaction_id, t.created_at AS transaction_at, t.effective_at, t.seq
      FROM (
            SELECT *
              FROM ledger_entries
             WHERE shard = $1
               AND ($2::uuid IS NULL OR transaction_id > $2)
               AND ($3::uuid IS NULL OR transaction_id <= $3)
            OFFSET 0
           ) AS e
      LEFT JOIN transactions AS t
        ON t.shard = $1
       AND t.id = e.transaction_id
       AND ($2::uuid IS NULL OR t.id > $2)
       AND ($3::uuid IS NULL OR t.id <= $3)
)
(SELECT 1 AS law, 'entry_has_its_transaction' AS check_name,
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position) AS location,
        format('transaction %s', transaction_id) AS expected, 'none' AS found
   FROM judged WHERE known_transaction_id IS NULL ORDER BY transaction_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'entry_has_the_time_of_its_transaction',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        transaction_at::text, created_at::text
   FROM judged WHERE created_at <> transaction_at ORDER BY transaction_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'unlocked_entry_is_in_its_batch',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('a position of batch %s', seq), format('of batch %s', position >> 20)
   FROM judged WHERE balance_after IS NULL AND position >> 20 <> seq
  ORDER BY transaction_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 7, 'backdated_entry_is_noted',
        format('ledger_entries (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('a backdated entry as of %s', effective_at), 'none'
   FROM judged
  WHERE effective_at < transaction_at
    AND NOT EXISTS (
        SELECT FROM backdated_entries AS b
         WHERE b.shard = $1 AND b.wallet_id = judged.wallet_id AND b.effective_at = judged.effective_at
           AND b.position = judged.position
        OFFSET 0
    )
  ORDER BY transaction_id, wallet_id, position LIMIT 1);

-- name: check_details
-- in:  $1 shard, $2 after transaction id, $3 up to transaction id
-- why: it compares the lots in answers with the moves of lots. Both sides by transaction, wallet and lot; a merge
--      carries lots over and draws nothing, a refund gives back into lots and joins none
WITH told AS (
    SELECT id, type, details::jsonb AS details
      FROM transactions
     WHERE shard = $1
       AND ($2::uuid IS NULL OR id > $2)
       AND ($3::uuid IS NULL OR id <= $3)
       AND details IS NOT NULL
),
drawn AS (
    SELECT told.id AS transaction_id, each ->> 'wallet_id' AS wallet_id, each ->> 'lot_id' AS lot_id,
           max(each ->> 'category') AS category, sum((each ->> 'amount')::numeric) AS amount
      FROM told
     CROSS JOIN LATERAL jsonb_array_elements(told.details -> 'drawn') AS each
     GROUP BY told.id, each ->> 'wallet_id', each ->> 'lot_id'
),
lost AS (
    SELECT move.transaction_id, move.wallet_id::text AS wallet_id, move.lot_id::text AS lot_id,
           max(lot.category) AS category, -sum(move.change::numeric) AS amount
      FROM lot_moves AS move
     CROSS JOIN LATERAL (
            SELECT type FROM transactions WHERE shard = $1 AND id = move.transaction_id OFFSET 0
           ) AS t
     CROSS JOIN LATERAL (
            SELECT category FROM lots WHERE shard = $1 AND id = move.lot_id OFFSET 0
           ) AS lot
     WHERE move.shard = $1
       AND move.change < 0
       AND t.type <> 'merge'
       AND ($2::uuid IS NULL OR move.transaction_id > $2)
       AND ($3::uuid IS NULL OR move.transaction_id <= $3)
     GROUP BY move.transaction_id, move.wallet_id, move.lot_id
),
lots_compared AS (
    SELECT coalesce(drawn.transaction_id, lost.transaction_id) AS id, coalesce(drawn.lot_id, lost.lot_id) AS lot_id,
           coalesce(drawn.amount, 0) AS drawn, coalesce(lost.amount, 0) AS lost, drawn.category AS category_drawn,
           lost.category
      FROM (SELECT * FROM drawn WHERE lot_id IS NOT NULL) AS drawn
      FULL JOIN lost
        ON lost.transaction_id = drawn.transaction_id
       AND lost.wallet_id = drawn.wallet_id
       AND lost.lot_id = drawn.lot_id
),
debits_compared AS (
    SELECT summed.transaction_id AS id, summed.wallet_id, summed.amount AS drawn, coalesce(debit.amount, 0) AS debited
      FROM (
            SELECT transaction_id, wallet_id, sum(amount) AS amount FROM drawn GROUP BY transaction_id, wallet_id
           ) AS summed
      LEFT JOIN LATERAL (
            SELECT sum(amount::numeric) AS amount
              FROM ledger_entries
             WHERE transaction_id = summed.transaction_id AND shard = $1 AND direction = -1
               AND wallet_id::text = summed.wallet_id
            OFFSET 0
           ) AS debit ON true
),
opened_compared AS (
    SELECT coalesce(said.id, opened.id) AS id, said.lots AS said, opened.lots AS opened
      FROM (
            SELECT told.id, string_agg(lot_id, ', ' ORDER BY lot_id) AS lots
              FROM told
             CROSS JOIN LATERAL jsonb_array_elements_text(told.details -> 'opened') AS lot_id
             GROUP BY told.id
           ) AS said
      FULL JOIN (
            SELECT opened_by AS id, string_agg(lots.id::text, ', ' ORDER BY lots.id) AS lots
              FROM lots
             WHERE shard = $1 AND ($2::uuid IS NULL OR opened_by > $2) AND ($3::uuid IS NULL OR opened_by <= $3)
             GROUP BY opened_by
           ) AS opened ON opened.id = said.id
),
joined AS (
    SELECT told.id, each ->> 'lot_id' AS lot_id, sum((each ->> 'amount')::numeric) AS amount
      FROM told
     CROSS JOIN LATERAL jsonb_array_elements(told.details -> 'joined') AS each
     GROUP BY told.id, each ->> 'lot_id'
),
gained AS (
    SELECT move.transaction_id AS id, move.lot_id::text AS lot_id, sum(move.change::numeric) AS amount
      FROM lot_moves AS move
     CROSS JOIN LATERAL (
            SELECT type FROM transactions WHERE shard = $1 AND id = move.transaction_id OFFSET 0
           ) AS t
     CROSS JOIN LATERAL (
            SELECT opened_by FROM lots WHERE shard = $1 AND id = move.lot_id OFFSET 0
           ) AS lot
     WHERE move.shard = $1
       AND move.change > 0
       AND t.type NOT IN ('merge', 'refund')
       AND lot.opened_by <> move.transaction_id
       AND ($2::uuid IS NULL OR move.transaction_id > $2)
       AND ($3::uuid IS NULL OR move.transaction_id <= $3)
     GROUP BY move.transaction_id, move.lot_id
),
joined_compared AS (
    SELECT coalesce(joined.id, gained.id) AS id, coalesce(joined.lot_id, gained.lot_id) AS lot_id,
           coalesce(joined.amount, 0) AS joined, coalesce(gained.amount, 0) AS gained
      FROM joined
      FULL JOIN gained ON gained.id = joined.id AND gained.lot_id = joined.lot_id
),
carrying AS MATERIALIZED (
    -- This leaves out the details, which name each lot: the next steps have as many rows as they have lots.
    SELECT told.id,
           (told.type = 'claim_redeem' AND told.details -> 'hold' ? 'claim')
           OR (
            told.type = 'capture'
            AND coalesce((told.details -> 'hold' ->> 'carries_lots')::boolean, false)
            AND coalesce(target.kind = 'user', false)
           ) AS is_whole
      FROM told
      LEFT JOIN LATERAL (
            SELECT kind
              FROM wallets
             WHERE shard = $1 AND id = (told.details -> 'hold' ->> 'target')::uuid
            OFFSET 0
           ) AS target ON true
     WHERE told.type NOT IN ('topup', 'bonus', 'grant', 'refund')
),
carried AS (
    -- Lots that a movement opens or joins without terms of their own have the terms of the lots that it drew from.
    SELECT carrying.id, carrying.is_whole, lot.category, lot.priority, lot.expires_at, sum(each.drawn) AS drawn,
           sum(each.opened) AS opened
      FROM (
            SELECT transaction_id, lot_id, amount AS drawn, 0 AS opened FROM drawn WHERE lot_id IS NOT NULL
            UNION ALL
            SELECT opened_by, lots.id::text, 0, amount
              FROM lots
             WHERE shard = $1 AND ($2::uuid IS NULL OR opened_by > $2) AND ($3::uuid IS NULL OR opened_by <= $3)
            UNION ALL
            SELECT gained.id, gained.lot_id, 0, gained.amount FROM gained
           ) AS each
      JOIN carrying ON carrying.id = each.transaction_id
     CROSS JOIN LATERAL (
            SELECT category, priority, expires_at FROM lots WHERE shard = $1 AND id = each.lot_id::uuid OFFSET 0
           ) AS lot
     GROUP BY carrying.id, carrying.is_whole, lot.category, lot.priority, lot.expires_at
)
(SELECT 2 AS law, 'drawn_is_what_lots_lost' AS check_name, format('transactions (shard %s, id %s)', $1, id) AS location,
        format('%s drawn from lot %s, %s credit', lost, lot_id, category) AS expected,
        format('%s, %s credit', drawn, category_drawn) AS found
   FROM lots_compared WHERE drawn <> lost OR category_drawn <> category ORDER BY id, lot_id LIMIT 1)
UNION ALL
(SELECT 2, 'drawn_is_the_whole_debit', format('transactions (shard %s, id %s)', $1, id),
        format('%s drawn from wallet %s', debited, wallet_id), drawn::text
   FROM debits_compared WHERE drawn <> debited ORDER BY id, wallet_id LIMIT 1)
UNION ALL
(SELECT 2, 'transaction_names_the_lots_that_it_opened', format('transactions (shard %s, id %s)', $1, id),
        coalesce(opened, 'none'), coalesce(said, 'none')
   FROM opened_compared WHERE said IS DISTINCT FROM opened ORDER BY id LIMIT 1)
UNION ALL
(SELECT 2, 'transaction_names_what_joined_lots', format('transactions (shard %s, id %s)', $1, id),
        format('%s joined lot %s', gained, lot_id), joined::text
   FROM joined_compared WHERE joined <> gained ORDER BY id, lot_id LIMIT 1)
UNION ALL
(SELECT 7, 'lots_that_go_along_are_as_they_were', format('transactions (shard %s, id %s)', $1, id),
        format('%s%s of %s credit, priority %s, until %s', CASE WHEN NOT is_whole THEN 'at most ' END, drawn, category,
               priority, coalesce(expires_at::text, 'for ever')),
        opened::text
   FROM carried
  WHERE opened > drawn OR (is_whole AND opened <> drawn)
  ORDER BY id, category, priority, expires_at
  LIMIT 1);

-- name: next_backdated_entries
-- in:  $1 shard, $2 after wallet id or null, $3 and effective_at, $4 and position, $5 how many
SELECT count(*) AS rows,
       (array_agg(wallet_id ORDER BY wallet_id DESC, effective_at DESC, position DESC))[1] AS wallet_id,
       (array_agg(effective_at ORDER BY wallet_id DESC, effective_at DESC, position DESC))[1] AS effective_at,
       (array_agg(position ORDER BY wallet_id DESC, effective_at DESC, position DESC))[1] AS position
  FROM (
        SELECT wallet_id, effective_at, position
          FROM backdated_entries
         WHERE shard = $1
           AND ($2::uuid IS NULL OR (wallet_id, effective_at, position) > ($2, $3::timestamptz, $4::bigint))
         ORDER BY wallet_id, effective_at, position
         LIMIT $5
       ) AS next;

-- name: check_backdated_entries
-- in:  $1 shard, $2 after wallet id, $3 and effective_at, $4 and position, $5 up to wallet id, $6 and effective_at,
--      $7 and position
-- why: the check of entries finds missing ones
WITH judged AS MATERIALIZED (
    SELECT b.wallet_id, b.effective_at, b.position,
           concat_ws(', ', b.transaction_id, b.change, b.created_at, b.effective_at) AS found,
           CASE WHEN e.transaction_id IS NOT NULL
                THEN concat_ws(', ', e.transaction_id, e.direction * e.amount::numeric, e.created_at, t.effective_at)
           END AS expected
      FROM backdated_entries AS b
      LEFT JOIN LATERAL (
            SELECT transaction_id, direction, amount, created_at
              FROM ledger_entries
             WHERE shard = $1 AND wallet_id = b.wallet_id AND position = b.position
            OFFSET 0
           ) AS e ON true
      LEFT JOIN LATERAL (
            SELECT effective_at FROM transactions WHERE shard = $1 AND id = e.transaction_id OFFSET 0
           ) AS t ON true
     WHERE b.shard = $1
       AND ($2::uuid IS NULL
            OR (b.wallet_id, b.effective_at, b.position) > ($2, $3::timestamptz, $4::bigint))
       AND ($5::uuid IS NULL
            OR (b.wallet_id, b.effective_at, b.position) <= ($5, $6::timestamptz, $7::bigint))
)
SELECT 7 AS law, 'backdated_entry_is_what_its_entry_says' AS check_name,
       format('backdated_entries (shard %s, wallet_id %s, effective_at %s, position %s)', $1, wallet_id, effective_at,
              position) AS location,
       coalesce(expected, 'an entry') AS expected, found
  FROM judged
 WHERE found IS DISTINCT FROM expected
 ORDER BY wallet_id, effective_at, position
 LIMIT 1;
