-- Refund states, which are kept beside the ledger so that nothing is given back twice.

-- name: next_refund_states
-- in:  $1 shard, $2 after original's id or null, $3 how many
SELECT count(*) AS rows, (array_agg(original_id ORDER BY original_id DESC))[1] AS original_id
  FROM (
        SELECT original_id
          FROM refund_states
         WHERE shard = $1 AND ($2::uuid IS NULL OR original_id > $2)
         ORDER BY original_id
         LIMIT $3
       ) AS next;

-- name: check_refund_states
-- in:  $1 shard, $2 after original's id, $3 up to original's id
-- why: both sides by original. A refund has the legs of its original, so its first leg has its amount if all legs have
--      one; a general transaction is refunded whole and once. A refused refund leaves a state without refunds
WITH posted AS (
    SELECT refund.refund_of AS original_id, count(*) AS refunds, sum(first.amount::numeric) AS refunded,
           min(refund.effective_at) AS first_effective_at
      FROM transactions AS refund
      LEFT JOIN LATERAL (
            SELECT amount FROM ledger_entries WHERE transaction_id = refund.id AND shard = $1 AND leg = 0 OFFSET 0
           ) AS first ON true
     WHERE refund.shard = $1
       AND refund.refund_of IS NOT NULL
       AND ($2::uuid IS NULL OR refund.refund_of > $2)
       AND ($3::uuid IS NULL OR refund.refund_of <= $3)
     GROUP BY refund.refund_of
),
noted AS (
    SELECT original_id, refunded, refunds
      FROM refund_states
     WHERE shard = $1 AND ($2::uuid IS NULL OR original_id > $2) AND ($3::uuid IS NULL OR original_id <= $3)
),
judged AS MATERIALIZED (
    SELECT both_sides.original_id, both_sides.refunds_noted, both_sides.refunded_noted, both_sides.refunds,
           both_sides.first_effective_at, t.type, t.effective_at, original.is_by_amount, original.is_never,
           first.amount,
           CASE WHEN original.is_by_amount THEN both_sides.refunded ELSE 0 END AS refunded
      FROM (
            SELECT coalesce(noted.original_id, posted.original_id) AS original_id,
                   noted.refunds AS refunds_noted, noted.refunded AS refunded_noted,
                   coalesce(posted.refunds, 0) AS refunds, coalesce(posted.refunded, 0) AS refunded,
                   posted.first_effective_at
              FROM noted
              FULL JOIN posted ON posted.original_id = noted.original_id
           ) AS both_sides
      LEFT JOIN LATERAL (
            SELECT type, effective_at, hold_id
              FROM transactions
             WHERE shard = $1 AND id = both_sides.original_id
            OFFSET 0
           ) AS t ON true
      LEFT JOIN LATERAL (
            SELECT amount
              FROM ledger_entries
             WHERE transaction_id = both_sides.original_id AND shard = $1 AND leg = 0
            OFFSET 0
           ) AS first ON true
     CROSS JOIN LATERAL (
            SELECT t.type IN ('topup', 'bonus', 'grant', 'spend', 'transfer', 'capture')
                   OR (t.type IN ('claim_redeem') AND t.hold_id IS NOT NULL) AS is_by_amount,
                   t.type IN ('refund', 'expiry', 'merge', 'hold', 'void', 'increase', 'extend')
                   OR (t.type IN ('claim_place', 'claim_cancel') AND t.hold_id IS NOT NULL) AS is_never
           ) AS original
)
(SELECT 7 AS law, 'refund_has_its_original' AS check_name,
        format('refund_states (shard %s, original_id %s)', $1, original_id) AS location,
        'a transaction that can be refunded' AS expected,
        coalesce(type || ' effective at ' || effective_at::text, 'none') AS found
   FROM judged
  WHERE type IS NULL
     OR (
        refunds > 0
        AND (
            is_never
            OR first_effective_at < effective_at
        )
     )
  ORDER BY original_id LIMIT 1)
UNION ALL
(SELECT 7, 'refund_state_is_the_sum_of_refunds',
        format('refund_states (shard %s, original_id %s)', $1, original_id),
        format('%s by %s refunds', refunded, refunds),
        coalesce(format('%s by %s', refunded_noted, refunds_noted), 'none')
   FROM judged
  WHERE type IS NOT NULL
    AND (refunds_noted IS DISTINCT FROM refunds OR refunded_noted IS DISTINCT FROM refunded)
  ORDER BY original_id LIMIT 1)
UNION ALL
(SELECT 7, 'refunds_are_within_their_original',
        format('refund_states (shard %s, original_id %s)', $1, original_id),
        CASE WHEN is_by_amount THEN format('at most %s', amount) ELSE 'at most 1 refund' END,
        CASE WHEN is_by_amount THEN refunded ELSE refunds END::text
   FROM judged
  WHERE CASE WHEN is_by_amount THEN refunded > amount ELSE refunds > 1 END
  ORDER BY original_id LIMIT 1);
