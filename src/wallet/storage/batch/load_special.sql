-- Loads the state of wallets and requests that are not plain. Each statement is run only if it is needed, once per
-- batch and after the wallets are locked (except `resolve`).  With OFFSET 0 the planner has to keep a look-up. It
-- cannot turn it into a join, for which it would read a whole index if it believes the table to be small
-- (docs/adr/0005).

-- name: resolve
-- in:  $1 shard smallint, $2 holds uuid[], $3 originals uuid[], $4 wallets uuid[], $5 how many rows at most
-- out: pairs of one of these ids and a wallet that a request which names it must lock: both ends of a hold, the wallets
--      of an original, a wallet itself; and the wallets that these were merged into, step by step
-- why: this runs before BEGIN, so that all of them are locked at once and in order. A change before the locks shows
--      after them
WITH RECURSIVE pointed AS (
    SELECT holds.id AS named_id, ends.wallet_id
      FROM holds
     CROSS JOIN LATERAL (VALUES (holds.wallet_id), (holds.target_wallet_id)) AS ends (wallet_id)
     WHERE holds.shard = $1 AND holds.id = ANY($2::uuid[])
    UNION ALL
    SELECT entered.transaction_id, entered.wallet_id
      FROM unnest($3::uuid[]) AS asked (id)
     CROSS JOIN LATERAL (
            SELECT e.transaction_id, e.wallet_id
              FROM ledger_entries AS e
             WHERE e.shard = $1 AND e.transaction_id = asked.id
            OFFSET 0
           ) AS entered
    UNION ALL
    SELECT asked.id AS named_id, asked.id AS wallet_id FROM unnest($4::uuid[]) AS asked (id)
),
reached AS (
    SELECT named_id, wallet_id FROM pointed WHERE wallet_id IS NOT NULL
    UNION
    SELECT reached.named_id, further.wallet_id
      FROM reached
     CROSS JOIN LATERAL (
            SELECT w.merged_into AS wallet_id
              FROM wallets AS w
             WHERE w.shard = $1 AND w.id = reached.wallet_id
            OFFSET 0
           ) AS further
     WHERE further.wallet_id IS NOT NULL
)
SELECT named_id, wallet_id FROM reached LIMIT $5;

-- name: load_standings
-- in:  $1 shard smallint, $2 ids uuid[] of wallets that are special
-- out: their further state
SELECT id, closed_at IS NOT NULL AS closed, merged_into, freeze_outgoing, freeze_incoming, limit_day, limit_month,
       next_due_at, lot_balance
  FROM wallets
 WHERE shard = $1 AND id = ANY($2::uuid[]);

-- name: load_spent
-- in:  $1 shard smallint; of each window: $2 wallets uuid[], $3 their versions bigint[], $4 times timestamptz[] which
--      all of the window comes after
-- out: of each window in order of $2 the debits that count for spending limits, summed up, and when the first was made
-- why: time rises along a wallet's positions, so the window begins at a position, which is found by halving: one index
--      look-up for each doubling of the wallet's history. Positions may have gaps, because other lines of history take
--      positions, too. A movement of the service counts from the instant of its due step, which is never later
WITH RECURSIVE bisected (ordinal, wallet_id, after_at, outside, inside) AS (
    SELECT asked.ordinal, asked.wallet_id, asked.after_at, 0::bigint, asked.version + 1
      FROM unnest($2::uuid[], $3::bigint[], $4::timestamptz[])
             WITH ORDINALITY AS asked (wallet_id, version, after_at, ordinal)
    UNION ALL
    SELECT b.ordinal, b.wallet_id, b.after_at,
           CASE WHEN probe.is_inside THEN b.outside ELSE middle.position END,
           CASE WHEN probe.is_inside THEN middle.position ELSE b.inside END
      FROM bisected AS b
     CROSS JOIN LATERAL (SELECT b.outside + (b.inside - b.outside) / 2 AS position) AS middle
     CROSS JOIN LATERAL (
            SELECT coalesce((
                       SELECT e.created_at > b.after_at
                         FROM ledger_entries AS e
                        WHERE e.shard = $1 AND e.wallet_id = b.wallet_id AND e.position <= middle.position
                        ORDER BY e.position DESC
                        LIMIT 1
                   ), false) AS is_inside
           ) AS probe
     WHERE b.inside - b.outside > 1
)
SELECT spent.amount, spent.first_at
  FROM bisected AS b
 CROSS JOIN LATERAL (
        SELECT coalesce(sum(e.amount), 0) AS amount, min(made.counts_at) AS first_at
          FROM ledger_entries AS e
         CROSS JOIN LATERAL (
                SELECT t.type, CASE WHEN t.origin = 'service' THEN t.effective_at ELSE t.created_at END AS counts_at
                  FROM transactions AS t
                 WHERE t.shard = $1 AND t.id = e.transaction_id
                OFFSET 0
               ) AS made
         WHERE e.shard = $1
           AND e.wallet_id = b.wallet_id
           AND e.position >= b.inside
           AND e.direction = -1
           AND made.type NOT IN ('topup', 'bonus', 'grant', 'refund', 'expiry', 'merge')
           AND made.counts_at > b.after_at
       ) AS spent
 WHERE b.inside - b.outside = 1
 ORDER BY b.ordinal;

-- name: find_due_steps
-- in:  $1 shard smallint, $2 wallets uuid[], $3 instant timestamptz, $4 rows at most
-- out: the steps that are due at or before the instant at these wallets, or at those they were merged with, in order:
--      when, what (0 a hold, 1 a lot), its id, how many slices it has, and the wallets at which a hold is due (null: no
--      other). A hold may appear twice
-- why: it finds a portion of the due steps, however many there are. A lot of which everything is held falls due with
--      its holds. A hold whose other end is a wallet that nobody locks is due at one end only
WITH RECURSIVE relatives AS (
    SELECT asked.id FROM unnest($2::uuid[]) AS asked (id)
    UNION
    SELECT further.id
      FROM relatives
     CROSS JOIN LATERAL (
            SELECT merged.id
              FROM (
                    SELECT w.id FROM wallets AS w WHERE w.shard = $1 AND w.merged_into = relatives.id
                    UNION ALL
                    SELECT w.merged_into FROM wallets AS w WHERE w.shard = $1 AND w.id = relatives.id
                   ) AS merged
            OFFSET 0
           ) AS further
     WHERE further.id IS NOT NULL
)
SELECT step.expires_at, step.kind, step.id, step.slices, step.wallet_id, step.target_wallet_id
  FROM relatives
 CROSS JOIN LATERAL (
        SELECT w.id FROM wallets AS w WHERE w.shard = $1 AND w.id = relatives.id AND w.locked OFFSET 0
       ) AS place
 CROSS JOIN LATERAL (
        (
            SELECT h.expires_at, 0 AS kind, h.id, cardinality(h.slice_lots) AS slices, h.wallet_id,
                   CASE WHEN h.capture_at_expiry THEN h.target_wallet_id END AS target_wallet_id
              FROM holds AS h
             WHERE h.shard = $1 AND h.wallet_id = place.id AND h.status = 'open' AND h.expires_at <= $3
             ORDER BY h.expires_at, h.id
             LIMIT $4
        )
        UNION ALL
        (
            SELECT h.expires_at, 0, h.id, cardinality(h.slice_lots), h.wallet_id, h.target_wallet_id
              FROM holds AS h
             WHERE h.shard = $1
               AND h.target_wallet_id = place.id
               AND h.status = 'open'
               AND h.capture_at_expiry
               AND h.expires_at <= $3
             ORDER BY h.expires_at, h.id
             LIMIT $4
        )
        UNION ALL
        (
            SELECT lot.expires_at, 1, lot.id, 0, NULL, NULL
              FROM lots AS lot
             WHERE lot.shard = $1
               AND lot.wallet_id = place.id
               AND lot.remaining > 0
               AND lot.remaining > lot.held
               AND lot.expires_at <= $3
             ORDER BY lot.expires_at, lot.id
             LIMIT $4
        )
       ) AS step
 ORDER BY step.expires_at, step.kind, step.id
 LIMIT $4;

-- name: load_holds
-- in:  $1 shard smallint, $2 ids uuid[], $3 wallets uuid[] that are to end
-- out: the holds with these ids, and all open ones of wallets that are to end; of those that are claims, the terms
WITH wanted AS (
    SELECT asked.id FROM unnest($2::uuid[]) AS asked (id)
    UNION
    SELECT h.id FROM holds AS h WHERE h.shard = $1 AND h.wallet_id = ANY($3::uuid[]) AND h.status = 'open'
)
SELECT found.*, claim.claim_amount, claim.uses, claim.once_per_user, claim.code_hash
  FROM wanted
 CROSS JOIN LATERAL (
        SELECT h.id, h.wallet_id, h.asset_id, h.target_wallet_id, h.amount, h.captured, h.released, h.expires_at,
               h.capture_at_expiry, h.status, h.created_at, h.slice_lots, h.slice_amounts, h.carries_lots
          FROM holds AS h
         WHERE h.shard = $1 AND h.id = wanted.id
        OFFSET 0
       ) AS found
  LEFT JOIN LATERAL (
        SELECT c.amount AS claim_amount, c.uses, c.once_per_user, c.code_hash
          FROM claims AS c
         WHERE c.shard = $1 AND c.id = wanted.id
        OFFSET 0
       ) AS claim ON true;

-- name: load_redeemers
-- in:  $1 shard smallint; of each redemption: $2 claims uuid[], $3 wallets uuid[]
-- out: of those into wallets that belong to a user: the claim, the wallet, the user, and the transaction by which that
--      user has redeemed the claim, if that may be done once and was
SELECT asked.claim_id, asked.wallet_id, owner.user_id, earlier.transaction_id
  FROM unnest($2::uuid[], $3::uuid[]) AS asked (claim_id, wallet_id)
 CROSS JOIN LATERAL (
        SELECT w.user_id
          FROM wallets AS w
         WHERE w.shard = $1 AND w.id = asked.wallet_id AND w.user_id IS NOT NULL
        OFFSET 0
       ) AS owner
  LEFT JOIN LATERAL (
        SELECT r.transaction_id
          FROM claim_redemptions AS r
         WHERE r.shard = $1 AND r.claim_id = asked.claim_id AND r.user_id = owner.user_id
        OFFSET 0
       ) AS earlier ON true;

-- name: count_holds
-- in:  $1 shard smallint, $2 wallets uuid[], $3 how many holds matter at most
-- out: of each, how many open holds are placed on it, and how many are captured into it at their expiry, also by way of
--      a wallet that was merged into it
-- why: two walks along an index, which end at the number that matters
WITH RECURSIVE targets AS (
    SELECT asked.id AS wallet_id, asked.id FROM unnest($2::uuid[]) AS asked (id)
    UNION
    SELECT targets.wallet_id, merged.id
      FROM targets
     CROSS JOIN LATERAL (
            SELECT w.id FROM wallets AS w WHERE w.shard = $1 AND w.merged_into = targets.id OFFSET 0
           ) AS merged
)
SELECT targets.wallet_id,
       max(placed.count) FILTER (WHERE targets.id = targets.wallet_id) AS placed,
       sum(aimed.count)::bigint AS aimed
  FROM targets
 CROSS JOIN LATERAL (
        SELECT count(*) AS count
          FROM (
                SELECT FROM holds AS h
                 WHERE h.shard = $1 AND h.wallet_id = targets.id AND h.status = 'open'
                 LIMIT $3
               ) AS counted
       ) AS placed
 CROSS JOIN LATERAL (
        SELECT count(*) AS count
          FROM (
                SELECT FROM holds AS h
                 WHERE h.shard = $1
                   AND h.target_wallet_id = targets.id
                   AND h.status = 'open'
                   AND h.capture_at_expiry
                   AND h.expires_at IS NOT NULL
                 LIMIT $3
               ) AS counted
       ) AS aimed
 GROUP BY targets.wallet_id;

-- name: load_targeted
-- in:  $1 shard smallint, $2 ids uuid[], $3 how many holds at most
-- out: of each, open holds that are to be captured into it, also by way of a wallet that was merged into one
WITH RECURSIVE targets AS (
    SELECT asked.id AS wallet_id, asked.id FROM unnest($2::uuid[]) AS asked (id)
    UNION
    SELECT targets.wallet_id, merged.id
      FROM targets
     CROSS JOIN LATERAL (
            SELECT w.id FROM wallets AS w WHERE w.shard = $1 AND w.merged_into = targets.id OFFSET 0
           ) AS merged
)
SELECT targets.wallet_id, array_agg(aimed.id) AS holds
  FROM targets
 CROSS JOIN LATERAL (
        SELECT h.id
          FROM holds AS h
         WHERE h.shard = $1 AND h.target_wallet_id = targets.id AND h.status = 'open'
         LIMIT $3
       ) AS aimed
 GROUP BY targets.wallet_id;

-- name: make_refund_states
-- in:  $1 shard smallint, $2 originals uuid[]
-- why: a row that does not exist cannot be locked. The rows are made in order of id, because two batches may make the
--      same ones
INSERT INTO refund_states (shard, original_id)
SELECT $1, t.id FROM transactions AS t WHERE t.shard = $1 AND t.id = ANY($2::uuid[]) ORDER BY t.id
ON CONFLICT DO NOTHING;

-- name: lock_refund_states
-- in:  $1 shard smallint, $2 originals uuid[]
-- out: those that are locked now
-- why: these are locked after the wallets, in one order. The next statement reads the locked rows. A row that has
--      appeared since the last statement is not among them, and its original must not be refunded
SELECT original_id
  FROM refund_states
 WHERE shard = $1 AND original_id = ANY($2::uuid[])
 ORDER BY original_id
   FOR NO KEY UPDATE;

-- name: load_originals
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: the transactions with these ids, and their refunds
SELECT t.id, t.origin, t.reference_id, t.fingerprint, t.type, t.metadata, t.created_at, t.effective_at, t.hold_id,
       t.refund_of, t.details, coalesce(s.refunded, 0) AS refunded, coalesce(s.refunds, 0) AS refunds
  FROM transactions AS t
  LEFT JOIN refund_states AS s ON s.shard = t.shard AND s.original_id = t.id
 WHERE t.shard = $1 AND t.id = ANY($2::uuid[]);

-- name: load_lots
-- in:  $1 shard smallint, $2 wallets uuid[], $3 ids uuid[], $4 transactions uuid[], $5 how many at most
-- out: the lots of these wallets that have a remainder; with or without one, those with these ids, and those that these
--      transactions opened. A lot may appear twice
-- why: each lot of a wallet with many costs a row of one walk along an index, and no look-up. Without MATERIALIZED, the
--      limit would make PostgreSQL read all lots in order of their ids
WITH wanted AS MATERIALIZED (
    SELECT asked.id FROM unnest($3::uuid[]) AS asked (id)
    UNION
    SELECT lot.id FROM lots AS lot WHERE lot.shard = $1 AND lot.opened_by = ANY($4::uuid[])
)
SELECT found.*
  FROM unnest($2::uuid[]) AS asked (id)
 CROSS JOIN LATERAL (
        SELECT lot.id, lot.wallet_id, lot.asset_id, lot.category, lot.priority, lot.expires_at, lot.opened_at,
               lot.opened_by, lot.amount, lot.remaining, lot.held, lot.expiries, lot.programme_id
          FROM lots AS lot
         WHERE lot.shard = $1 AND lot.wallet_id = asked.id AND lot.remaining > 0
        OFFSET 0
       ) AS found
UNION ALL
SELECT found.*
  FROM wanted
 CROSS JOIN LATERAL (
        SELECT lot.id, lot.wallet_id, lot.asset_id, lot.category, lot.priority, lot.expires_at, lot.opened_at,
               lot.opened_by, lot.amount, lot.remaining, lot.held, lot.expiries, lot.programme_id
          FROM lots AS lot
         WHERE lot.shard = $1 AND lot.id = wanted.id
        OFFSET 0
       ) AS found
 LIMIT $5;

-- name: load_next_due
-- in:  $1 shard smallint, $2 wallets uuid[], $3 decided_at
-- out: of each, the earliest instant after $3 at which something is due there, or null
-- why: one look-up per wallet and kind of step, however many holds point at the wallet
WITH RECURSIVE targets AS (
    SELECT asked.id AS wallet_id, asked.id FROM unnest($2::uuid[]) AS asked (id)
    UNION
    SELECT targets.wallet_id, merged.id
      FROM targets
     CROSS JOIN LATERAL (
            SELECT w.id FROM wallets AS w WHERE w.shard = $1 AND w.merged_into = targets.id OFFSET 0
           ) AS merged
)
SELECT targets.wallet_id, min(due.expires_at) AS next_due_at
  FROM targets
 CROSS JOIN LATERAL (
        (
            SELECT h.expires_at
              FROM holds AS h
             WHERE h.shard = $1 AND h.wallet_id = targets.id AND h.status = 'open' AND h.expires_at > $3
             ORDER BY h.expires_at
             LIMIT 1
        )
        UNION ALL
        (
            SELECT h.expires_at
              FROM holds AS h
             WHERE h.shard = $1
               AND h.target_wallet_id = targets.id
               AND h.status = 'open'
               AND h.capture_at_expiry
               AND h.expires_at > $3
             ORDER BY h.expires_at
             LIMIT 1
        )
        UNION ALL
        SELECT min(lot.expires_at)
          FROM lots AS lot
         WHERE lot.shard = $1
           AND lot.wallet_id = targets.id
           AND lot.remaining > 0
           AND lot.remaining > lot.held
           AND lot.expires_at > $3
       ) AS due
 GROUP BY targets.wallet_id;

-- name: load_policies
-- in:  $1 ids integer[]
-- out: the policies of these assets
-- why: unlike the other columns of an asset, the policy may change, so it is never cached
SELECT id, draw_order, on_refund_to_expired, grace_seconds
  FROM assets
 WHERE id = ANY($1::integer[]);

-- name: load_attachments
-- in:  $1 shard smallint, $2 wallets uuid[]
-- out: the programmes attached to these wallets, locked until commit
-- why: these are locked after the wallets, in one order; wallets are attached and detached without their lock
SELECT programme_id, wallet_id, next_period
  FROM programme_wallets
 WHERE shard = $1 AND wallet_id = ANY($2::uuid[]) AND ended_at IS NULL
 ORDER BY programme_id, wallet_id
   FOR NO KEY UPDATE;

-- name: load_known_events
-- in:  $1 shard smallint, $2 ids uuid[]
-- out: the changes of wallets that were made by requests with these ids
SELECT id, kind, created_at
  FROM wallet_events
 WHERE shard = $1 AND id = ANY($2::uuid[]);
