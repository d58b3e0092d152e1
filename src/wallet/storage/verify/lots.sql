-- Lots and their moves: a lot's row must follow from its moves, and each move from its transaction.

-- name: next_lots
-- in:  $1 shard, $2 after id or null, $3 how many
SELECT count(*) AS rows, (array_agg(id ORDER BY id DESC))[1] AS id
  FROM (
        SELECT id FROM lots WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
       ) AS next;

-- name: check_lots
-- in:  $1 shard, $2 after id, $3 up to id
-- why: both sides by lot. A lot is in one wallet, and moves brought its remainder and its held part there
WITH moved AS (
    SELECT lot_id, wallet_id, transaction_id, sum(change::numeric) AS change, sum(held_change::numeric) AS held_change,
           max(created_at) AS created_at, min(ordinal) AS ordinal
      FROM lot_moves
     WHERE shard = $1 AND ($2::uuid IS NULL OR lot_id > $2) AND ($3::uuid IS NULL OR lot_id <= $3)
     GROUP BY lot_id, wallet_id, transaction_id
),
weighed AS (
    SELECT moved.*,
           sum(change) OVER wallet AS change_in_wallet, sum(held_change) OVER wallet AS held_change_in_wallet
      FROM moved
    WINDOW wallet AS (PARTITION BY lot_id, wallet_id)
),
summed AS (
    SELECT move.lot_id, sum(move.change) AS remaining, sum(move.held_change) AS held,
           sum(move.change) FILTER (WHERE move.wallet_id = lot.wallet_id) AS remaining_here,
           bool_or(
            move.wallet_id <> lot.wallet_id AND (move.change_in_wallet <> 0 OR move.held_change_in_wallet <> 0)
           ) AS is_elsewhere,
           sum(move.held_change) FILTER (WHERE move.wallet_id = lot.wallet_id) AS held_here,
           max(move.created_at) AS last_at,
           max(move.created_at) FILTER (WHERE move.wallet_id = lot.wallet_id) AS last_at_here,
           sum(move.change) FILTER (WHERE move.transaction_id = lot.opened_by) AS opened_with,
           format('(shard %s, transaction_id %s, ordinal %s)', $1, min(move.transaction_id::text),
                  (array_agg(move.ordinal ORDER BY move.transaction_id, move.ordinal))[1]) AS first_move
      FROM weighed AS move
      LEFT JOIN lots AS lot
        ON lot.shard = $1
       AND lot.id = move.lot_id
       AND ($2::uuid IS NULL OR lot.id > $2)
       AND ($3::uuid IS NULL OR lot.id <= $3)
     GROUP BY move.lot_id
),
judged AS MATERIALIZED (
    SELECT coalesce(lot.id, summed.lot_id) AS lot_id, lot.id, lot.amount, lot.remaining, lot.held, lot.opened_at,
           lot.opened_by, lot.expiries, lot.programme_id, lot.asset_id, lot.category, summed.first_move,
           coalesce(summed.remaining, 0) AS remaining_moved, coalesce(summed.held, 0) AS held_moved,
           summed.remaining_here, summed.held_here, summed.last_at, summed.last_at_here, summed.opened_with,
           coalesce(summed.is_elsewhere, false) AS is_elsewhere,
           wallet.asset_id AS wallet_asset_id, wallet.kind AS wallet_kind, opening.at AS opening_at,
           programme.id AS known_programme_id, programme.amount AS programme_amount,
           programme.category AS programme_category,
           EXISTS(
            SELECT FROM transactions
             WHERE shard = $1 AND origin = 'service'
               AND reference_id = format('lot:%s:expiry:%s', lot.id, lot.expiries)
            OFFSET 0
           ) AS has_expired,
           EXISTS(
            SELECT FROM transactions
             WHERE shard = $1 AND origin = 'service'
               AND reference_id = format('lot:%s:expiry:%s', lot.id, lot.expiries + 1)
            OFFSET 0
           ) AS has_expired_again
      FROM (
            SELECT *
              FROM lots
             WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::uuid IS NULL OR id <= $3)
           ) AS lot
      FULL JOIN summed ON summed.lot_id = lot.id
      LEFT JOIN LATERAL (
            SELECT asset_id, kind FROM wallets WHERE shard = $1 AND id = lot.wallet_id OFFSET 0
           ) AS wallet ON true
      LEFT JOIN LATERAL (
            -- Credit that was captured at a hold's expiry arrived then, whenever the capture was posted.
            SELECT CASE WHEN origin = 'service' AND type = 'capture' THEN effective_at ELSE created_at END AS at
              FROM transactions
             WHERE shard = $1 AND id = lot.opened_by
            OFFSET 0
           ) AS opening ON true
      LEFT JOIN LATERAL (
            SELECT id, amount, category FROM programmes WHERE shard = $1 AND id = lot.programme_id OFFSET 0
           ) AS programme ON true
)
(SELECT 2 AS law, 'move_has_its_lot' AS check_name, format('lot_moves %s', first_move) AS location,
        format('lot %s', lot_id) AS expected, 'none' AS found
   FROM judged WHERE id IS NULL ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 2, 'remaining_is_the_sum_of_lot_moves', format('lots (shard %s, id %s)', $1, id),
        remaining_moved::text, remaining::text
   FROM judged WHERE remaining <> remaining_moved ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 2, 'held_of_a_lot_is_the_sum_of_lot_moves', format('lots (shard %s, id %s)', $1, id),
        held_moved::text, held::text
   FROM judged WHERE held <> held_moved ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 2, 'lot_is_where_its_moves_say', format('lots (shard %s, id %s)', $1, id),
        'a last move in its wallet, and nothing moved to another that stayed there',
        format('%s moved there, %s held, last %s', remaining_here, held_here, coalesce(last_at_here::text, 'never'))
   FROM judged
  WHERE id IS NOT NULL
    AND (
        remaining_here <> remaining_moved OR held_here <> held_moved OR is_elsewhere
        OR last_at_here IS DISTINCT FROM last_at
    )
  ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 2, 'lot_is_in_the_asset_of_its_wallet', format('lots (shard %s, id %s)', $1, id),
        format('a user''s wallet of asset %s', asset_id),
        CASE WHEN wallet_kind IS NULL THEN 'none'
             ELSE format('a %s wallet of asset %s', wallet_kind, wallet_asset_id) END
   FROM judged
  WHERE id IS NOT NULL AND (wallet_asset_id IS DISTINCT FROM asset_id OR wallet_kind <> 'user')
  ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 2, 'lot_was_opened', format('lots (shard %s, id %s)', $1, id),
        format('an amount of %s, opened at %s by transaction %s', amount, opened_at, opened_by),
        format('%s, at %s', coalesce(opened_with::text, 'none'), coalesce(opening_at::text, 'never'))
   FROM judged
  WHERE id IS NOT NULL AND (opened_with IS DISTINCT FROM amount OR opening_at IS DISTINCT FROM opened_at)
  ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 7, 'lot_has_its_programme', format('lots (shard %s, id %s)', $1, id),
        coalesce(
            format('%s credit, at most %s of it', programme_category, programme_amount),
            format('programme %s', programme_id)
        ),
        CASE WHEN known_programme_id IS NULL THEN 'none' ELSE format('%s of %s credit', amount, category) END
   FROM judged
  WHERE programme_id IS NOT NULL
    AND (known_programme_id IS NULL OR amount > programme_amount OR category <> programme_category)
  ORDER BY lot_id LIMIT 1)
UNION ALL
(SELECT 7, 'lot_expired_as_often_as_it_says', format('lots (shard %s, id %s)', $1, id),
        format('%s expiries', expiries), CASE WHEN has_expired_again THEN 'more' ELSE 'fewer' END
   FROM judged WHERE has_expired_again OR (expiries > 0 AND NOT has_expired) ORDER BY lot_id LIMIT 1);

-- name: check_slices
-- in:  $1 shard, $2 after wallet id, $3 up to wallet id
-- why: both sides by wallet and lot: a hold reserves lots of its own wallet only
WITH sliced AS (
    SELECT hold.wallet_id, slice.lot_id, sum(slice.amount::numeric) AS amount
      FROM holds AS hold
     CROSS JOIN LATERAL unnest(hold.slice_lots, hold.slice_amounts) AS slice (lot_id, amount)
     WHERE hold.shard = $1
       AND hold.status = 'open'
       AND slice.lot_id IS NOT NULL
       AND ($2::uuid IS NULL OR hold.wallet_id > $2)
       AND ($3::uuid IS NULL OR hold.wallet_id <= $3)
     GROUP BY hold.wallet_id, slice.lot_id
),
reserved AS (
    SELECT wallet_id, id AS lot_id, held
      FROM lots
     WHERE shard = $1
       AND remaining > 0
       AND held <> 0
       AND ($2::uuid IS NULL OR wallet_id > $2)
       AND ($3::uuid IS NULL OR wallet_id <= $3)
)
SELECT 2 AS law, 'held_of_a_lot_is_the_sum_of_slices' AS check_name,
       format('lots (shard %s, id %s)', $1, coalesce(reserved.lot_id, sliced.lot_id)) AS location,
       format('%s held in wallet %s', coalesce(sliced.amount, 0), coalesce(sliced.wallet_id, reserved.wallet_id))
         AS expected,
       coalesce(reserved.held::text, 'none') AS found
  FROM sliced
  FULL JOIN reserved ON reserved.wallet_id = sliced.wallet_id AND reserved.lot_id = sliced.lot_id
 WHERE sliced.amount IS DISTINCT FROM reserved.held
 ORDER BY coalesce(sliced.wallet_id, reserved.wallet_id), coalesce(sliced.lot_id, reserved.lot_id)
 LIMIT 1;

-- name: check_lot_moves
-- in:  $1 shard, $2 after transaction id, $3 up to transaction id
-- why: both sides by transaction. The change of the lots of a wallet is a part of the change of the wallet, with the
--      same sign; but a merge moves whole lots, whatever else is in the wallet
WITH moved AS (
    SELECT transaction_id, wallet_id, count(*) AS moves, min(ordinal) AS ordinal, max(ordinal) AS ordinal_max,
           min(created_at) AS first_at, max(created_at) AS last_at, sum(change::numeric) AS change
      FROM lot_moves
     WHERE shard = $1
       AND ($2::uuid IS NULL OR transaction_id > $2)
       AND ($3::uuid IS NULL OR transaction_id <= $3)
     GROUP BY transaction_id, wallet_id
),
judged AS MATERIALIZED (
    SELECT moved.*, t.id, t.type, t.created_at, coalesce(entered.change, 0) AS entered,
           sum(moved.moves) OVER transaction AS moves_in_all, max(moved.ordinal_max) OVER transaction + 1 AS ordinals
      FROM moved
      LEFT JOIN transactions AS t
        ON t.shard = $1
       AND t.id = moved.transaction_id
       AND ($2::uuid IS NULL OR t.id > $2)
       AND ($3::uuid IS NULL OR t.id <= $3)
      LEFT JOIN LATERAL (
            SELECT sum(direction * amount::numeric) AS change
              FROM ledger_entries
             WHERE transaction_id = moved.transaction_id AND shard = $1 AND wallet_id = moved.wallet_id
            OFFSET 0
           ) AS entered ON true
    WINDOW transaction AS (PARTITION BY moved.transaction_id)
)
(SELECT 2 AS law, 'move_has_its_transaction' AS check_name,
        format('lot_moves (shard %s, transaction_id %s, ordinal %s)', $1, transaction_id, ordinal) AS location,
        format('transaction %s', transaction_id) AS expected, 'none' AS found
   FROM judged WHERE id IS NULL ORDER BY transaction_id, ordinal LIMIT 1)
UNION ALL
(SELECT 2, 'lots_move_within_their_entry',
        format('lot_moves (shard %s, transaction_id %s, ordinal %s)', $1, transaction_id, ordinal),
        format('between 0 and %s in wallet %s', entered, wallet_id), change::text
   FROM judged
  WHERE type <> 'merge' AND change NOT BETWEEN least(0, entered) AND greatest(0, entered)
  ORDER BY transaction_id, ordinal LIMIT 1)
UNION ALL
(SELECT 4, 'move_has_the_time_of_its_transaction',
        format('lot_moves (shard %s, transaction_id %s, ordinal %s)', $1, transaction_id, ordinal),
        created_at::text, CASE WHEN first_at <> created_at THEN first_at ELSE last_at END::text
   FROM judged WHERE first_at <> created_at OR last_at <> created_at ORDER BY transaction_id, ordinal LIMIT 1)
UNION ALL
(SELECT 4, 'ordinals_have_no_gap',
        format('lot_moves (shard %s, transaction_id %s, ordinal %s)', $1, transaction_id, ordinal),
        format('%s moves', ordinals), moves_in_all::text
   FROM judged WHERE ordinals <> moves_in_all ORDER BY transaction_id, ordinal LIMIT 1);
