-- Holds and their steps: a hold's row must follow from its steps, and each step from its transaction.

-- name: next_holds
-- in:  $1 shard, $2 after id or null, $3 how many
SELECT count(*) AS rows, (array_agg(id ORDER BY id DESC))[1] AS id
  FROM (
        SELECT id FROM holds WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
       ) AS next;

-- name: check_holds
-- in:  $1 shard, $2 after id, $3 up to id
-- why: both sides by hold. A hold is in the wallet that it came to and did not leave, and all that remains of it is
--      held there; expiries are only put off, so the last one is the latest
WITH stepped AS (
    SELECT hold_id, wallet_id, sum(held_change::numeric) AS held, sum(captured::numeric) AS captured,
           sum(released::numeric) AS released, max(expires_at) AS expires_at, min(position) AS position,
           coalesce(sum(held_change::numeric) FILTER (WHERE kind IN ('place', 'increase')), 0) AS amount,
           min(created_at) FILTER (WHERE kind = 'place') AS placed_at,
           count(*) FILTER (WHERE kind = 'place') AS times_placed,
           count(*) FILTER (WHERE kind IN ('place', 'move_in')) - count(*) FILTER (WHERE kind = 'move_out') AS stays,
           CASE WHEN bool_or(kind = 'void') THEN 'voided' WHEN bool_or(kind = 'expire') THEN 'expired' END AS ended
      FROM hold_steps
     WHERE shard = $1 AND ($2::uuid IS NULL OR hold_id > $2) AND ($3::uuid IS NULL OR hold_id <= $3)
     GROUP BY hold_id, wallet_id
),
summed AS (
    SELECT hold_id, sum(amount) AS amount, sum(captured) AS captured, sum(released) AS released,
           sum(amount) - sum(captured) - sum(released) AS remaining, max(expires_at) AS expires_at,
           min(placed_at) AS placed_at, sum(times_placed) AS times_placed, max(ended) AS ended,
           (array_agg(wallet_id ORDER BY stays DESC, wallet_id))[1] AS wallet_id,
           max(stays) AS stays_max, min(stays) AS stays_min, sum(stays) AS stays,
           max(held) FILTER (WHERE stays > 0) AS held_here, bool_or(stays <= 0 AND held <> 0) AS is_held_elsewhere,
           format('(shard %s, wallet_id %s, position %s)', $1, min(wallet_id::text),
                  (array_agg(position ORDER BY wallet_id))[1]) AS first_step
      FROM stepped
     GROUP BY hold_id
),
judged AS MATERIALIZED (
    SELECT coalesce(hold.id, s.hold_id) AS hold_id, hold.id, s.hold_id AS stepped_id, s.first_step,
           s.times_placed, s.stays, s.stays_max, s.stays_min, s.held_here, s.is_held_elsewhere,
           hold.amount::numeric - hold.captured - hold.released AS remaining,
           hold.slice_lots, hold.slice_amounts, hold.asset_id, hold.target_wallet_id,
           wallet.asset_id AS wallet_asset_id, target.asset_id AS target_asset_id,
           concat_ws(
            ', ', s.amount, s.captured, s.released, s.placed_at, coalesce(s.expires_at::text, 'never'), s.wallet_id,
            CASE WHEN s.remaining > 0 THEN 'open' ELSE coalesce(s.ended, 'captured') END
           ) AS expected,
           concat_ws(
            ', ', hold.amount, hold.captured, hold.released, hold.created_at,
            coalesce(hold.expires_at::text, 'never'), hold.wallet_id, hold.status
           ) AS found
      FROM (
            SELECT *
              FROM holds
             WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::uuid IS NULL OR id <= $3)
           ) AS hold
      FULL JOIN summed AS s ON s.hold_id = hold.id
      LEFT JOIN LATERAL (
            SELECT asset_id FROM wallets WHERE shard = $1 AND id = hold.wallet_id OFFSET 0
           ) AS wallet ON true
      LEFT JOIN LATERAL (
            SELECT asset_id FROM wallets WHERE shard = $1 AND id = hold.target_wallet_id OFFSET 0
           ) AS target ON true
)
(SELECT 2 AS law, 'step_has_its_hold' AS check_name, format('hold_steps %s', first_step) AS location,
        format('hold %s', stepped_id) AS expected, 'none' AS found
   FROM judged WHERE id IS NULL ORDER BY hold_id LIMIT 1)
UNION ALL
(SELECT 2, 'hold_was_placed_once', format('holds (shard %s, id %s)', $1, id),
        '1 step that places it', coalesce(times_placed, 0)::text
   FROM judged WHERE id IS NOT NULL AND coalesce(times_placed, 0) <> 1 ORDER BY hold_id LIMIT 1)
UNION ALL
(SELECT 2, 'hold_is_in_one_wallet', format('holds (shard %s, id %s)', $1, id),
        format('%s held in 1 wallet', remaining),
        CASE WHEN stays <> 1 OR stays_max <> 1 OR stays_min < 0 THEN format('in %s wallets', stays)
             WHEN is_held_elsewhere THEN 'some held in another'
             ELSE format('%s held in it', held_here) END
   FROM judged
  WHERE id IS NOT NULL
    AND (stays <> 1 OR stays_max <> 1 OR stays_min < 0 OR is_held_elsewhere OR held_here <> remaining)
  ORDER BY hold_id LIMIT 1)
UNION ALL
(SELECT 2, 'slices_are_what_remains', format('holds (shard %s, id %s)', $1, id),
        format('amounts above zero that add up to %s', remaining), slice_amounts::text
   FROM judged
  WHERE (SELECT coalesce(sum(amount::numeric), 0) <> judged.remaining OR coalesce(min(amount) < 1, false)
           FROM unnest(judged.slice_amounts) AS amount)
  ORDER BY hold_id LIMIT 1)
UNION ALL
(SELECT 2, 'hold_is_in_the_asset_of_its_wallets', format('holds (shard %s, id %s)', $1, id),
        format('wallets of asset %s', asset_id),
        format('asset %s, target %s', coalesce(wallet_asset_id::text, 'none'), coalesce(target_asset_id::text, 'none'))
   FROM judged
  WHERE id IS NOT NULL
    AND (
        wallet_asset_id IS DISTINCT FROM asset_id
        OR (target_wallet_id IS NOT NULL AND target_asset_id IS DISTINCT FROM asset_id)
    )
  ORDER BY hold_id LIMIT 1)
UNION ALL
(SELECT 7, 'hold_is_what_its_steps_say', format('holds (shard %s, id %s)', $1, id), expected, found
   FROM judged WHERE id IS NOT NULL AND stepped_id IS NOT NULL AND expected <> found ORDER BY hold_id LIMIT 1);

-- name: check_hold_steps
-- in:  $1 shard, $2 after hold id, $3 up to hold id
-- why: both sides by hold and transaction. A merge moves many holds, so its transaction names none
WITH posted AS (
    SELECT id, hold_id, type, created_at, details::jsonb -> 'hold' AS told,
           coalesce((details::jsonb -> 'hold' ->> 'carries_lots')::boolean, false) AS told_to_carry
      FROM transactions
     WHERE shard = $1
       AND ($2::uuid IS NULL OR hold_id > $2)
       AND ($3::uuid IS NULL OR hold_id <= $3)
       AND hold_id IS NOT NULL
),
stepped AS (
    SELECT step.*,
           CASE kind
                WHEN 'place' THEN CASE WHEN claim.id IS NULL THEN 'hold' ELSE 'claim_place' END
                WHEN 'capture' THEN CASE WHEN claim.id IS NULL THEN 'capture' ELSE 'claim_redeem' END
                WHEN 'void' THEN CASE WHEN claim.id IS NULL THEN 'void' ELSE 'claim_cancel' END
                WHEN 'expire' THEN 'expiry' WHEN 'move_in' THEN 'merge' WHEN 'move_out' THEN 'merge' ELSE kind
           END AS type
      FROM (
            SELECT *
              FROM hold_steps
             WHERE shard = $1 AND ($2::uuid IS NULL OR hold_id > $2) AND ($3::uuid IS NULL OR hold_id <= $3)
           ) AS step
      LEFT JOIN (
            SELECT id
              FROM claims
             WHERE shard = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::uuid IS NULL OR id <= $3)
           ) AS claim ON claim.id = step.hold_id
),
judged AS MATERIALIZED (
    SELECT coalesce(step.hold_id, posted.hold_id) AS hold_id, coalesce(step.transaction_id, posted.id) AS at_id,
           step.wallet_id, step.position, step.transaction_id, step.kind, step.type, step.created_at,
           step.held_change::numeric AS held_change, step.captured::numeric AS captured,
           step.released::numeric AS released, posted.id AS posted_id,
           coalesce(posted.type, other.type) AS posted_type, coalesce(posted.created_at, other.created_at) AS posted_at,
           coalesce(posted.hold_id, other.hold_id) AS posted_hold_id, entered.amount AS entered, hold.carries_lots,
           bool_or(posted.told_to_carry) OVER (PARTITION BY coalesce(step.hold_id, posted.hold_id)) AS told_to_carry,
           concat_ws(
            ', ', hold.id, coalesce(hold.target_wallet_id::text, 'no target'), hold.capture_at_expiry,
            coalesce(step.expires_at::text, 'never')
           ) AS hold_as_it_is,
           concat_ws(
            ', ', posted.told ->> 'id', coalesce(posted.told ->> 'target', 'no target'),
            (posted.told ->> 'capture_at_expiry')::boolean,
            coalesce((posted.told ->> 'expires_at')::timestamptz::text, 'never')
           ) AS hold_as_told
      FROM stepped AS step
      FULL JOIN posted ON posted.id = step.transaction_id AND posted.hold_id = step.hold_id
      LEFT JOIN LATERAL (
            SELECT type, created_at, hold_id FROM transactions WHERE shard = $1 AND id = step.transaction_id OFFSET 0
           ) AS other ON posted.id IS NULL
      LEFT JOIN LATERAL (
            SELECT -sum(direction * amount::numeric) AS amount
              FROM ledger_entries
             WHERE transaction_id = step.transaction_id AND shard = $1 AND wallet_id = step.wallet_id
            OFFSET 0
           ) AS entered ON step.kind = 'capture'
      LEFT JOIN LATERAL (
            SELECT id, target_wallet_id, capture_at_expiry, carries_lots
              FROM holds
             WHERE shard = $1 AND id = step.hold_id
            OFFSET 0
           ) AS hold ON true
)
(SELECT 2 AS law, 'step_has_its_transaction' AS check_name,
        format('hold_steps (shard %s, wallet_id %s, position %s)', $1, wallet_id, position) AS location,
        format('transaction %s, a %s', transaction_id, type) AS expected,
        CASE WHEN posted_type IS NULL THEN 'none'
             ELSE format('a %s of hold %s', posted_type, coalesce(posted_hold_id::text, 'none')) END AS found
   FROM judged
  WHERE kind IS NOT NULL
    AND (
        posted_type IS DISTINCT FROM type
        OR posted_hold_id IS DISTINCT FROM CASE WHEN type <> 'merge' THEN hold_id END
        OR (kind = 'place' AND transaction_id <> hold_id)
    )
  ORDER BY hold_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 2, 'transaction_has_its_step', format('transactions (shard %s, id %s)', $1, posted_id),
        format('a step of hold %s', hold_id), 'none'
   FROM judged WHERE kind IS NULL ORDER BY hold_id, posted_id LIMIT 1)
UNION ALL
(SELECT 2, 'capture_moves_what_was_captured',
        format('hold_steps (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('a debit of %s', captured), coalesce(entered::text, 'none')
   FROM judged
  WHERE kind = 'capture' AND entered IS DISTINCT FROM captured ORDER BY hold_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 4, 'step_has_the_time_of_its_transaction',
        format('hold_steps (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        posted_at::text, created_at::text
   FROM judged WHERE created_at <> posted_at ORDER BY hold_id, wallet_id, position LIMIT 1)
UNION ALL
(SELECT 7, 'transaction_tells_its_hold', format('transactions (shard %s, id %s)', $1, posted_id),
        hold_as_it_is, hold_as_told
   FROM judged
  WHERE kind IS NOT NULL AND posted_id IS NOT NULL AND hold_as_told <> hold_as_it_is
  ORDER BY hold_id, posted_id LIMIT 1)
UNION ALL
(SELECT 7, 'hold_carries_lots_as_it_was_told', format('holds (shard %s, id %s)', $1, hold_id),
        told_to_carry::text, carries_lots::text
   FROM judged WHERE carries_lots <> told_to_carry ORDER BY hold_id LIMIT 1)
UNION ALL
(SELECT 7, 'step_changes_what_its_kind_says',
        format('hold_steps (shard %s, wallet_id %s, position %s)', $1, wallet_id, position),
        format('what a step of kind %s changes', kind),
        format('held_change %s, captured %s, released %s', held_change, captured, released)
   FROM judged
  WHERE NOT CASE kind
                 WHEN 'place' THEN held_change > 0 AND captured = 0 AND released = 0
                 WHEN 'increase' THEN held_change > 0 AND captured = 0 AND released = 0
                 WHEN 'extend' THEN held_change = 0 AND captured = 0 AND released = 0
                 WHEN 'capture' THEN captured > 0 AND released >= 0 AND held_change = -captured - released
                 WHEN 'move_out' THEN held_change < 0 AND captured = 0 AND released = 0
                 WHEN 'move_in' THEN held_change > 0 AND captured = 0 AND released = 0
                 ELSE captured = 0 AND released > 0 AND held_change = -released
            END
  ORDER BY hold_id, wallet_id, position LIMIT 1);

-- name: check_targets
-- in:  $1 shard, $2 after wallet id, $3 up to wallet id
-- why: a hold that is captured at its expiry falls due at its target as well, or at the wallet that the target was
--      merged into
WITH RECURSIVE awaited AS (
    SELECT target_wallet_id AS wallet_id, min(expires_at) AS due_at
      FROM holds
     WHERE shard = $1
       AND status = 'open'
       AND capture_at_expiry
       AND target_wallet_id IS NOT NULL
       AND ($2::uuid IS NULL OR target_wallet_id > $2)
       AND ($3::uuid IS NULL OR target_wallet_id <= $3)
     GROUP BY target_wallet_id
),
followed AS (
    SELECT wallet_id, due_at FROM awaited WHERE due_at IS NOT NULL
    UNION
    SELECT wallet.merged_into, followed.due_at
      FROM followed
     CROSS JOIN LATERAL (
            SELECT merged_into
              FROM wallets
             WHERE shard = $1 AND id = followed.wallet_id AND merged_into IS NOT NULL
            OFFSET 0
           ) AS wallet
)
SELECT 7 AS law, 'target_knows_when_holds_are_due' AS check_name,
       format('wallets (shard %s, id %s)', $1, followed.wallet_id) AS location,
       format('not after %s', followed.due_at) AS expected, coalesce(wallet.next_due_at::text, 'null') AS found
  FROM followed
 CROSS JOIN LATERAL (
        SELECT next_due_at
          FROM wallets
         WHERE shard = $1 AND id = followed.wallet_id AND locked AND merged_into IS NULL
        OFFSET 0
       ) AS wallet
 WHERE (wallet.next_due_at > followed.due_at) IS NOT false
 ORDER BY followed.wallet_id
 LIMIT 1;
