-- Rows that only batches with special requests write, after write_batch and in the same database transaction.

-- name: write_special
-- in:  $1 shard, $2 seq, $3 decided_at,
--      transactions, all of the batch or none: $4 ids, $5 origins, $6 references, $7 types, $8 fingerprints,
--      $9 metadata, $10 effective times, $11 holds, $12 originals, $13 details;
--      wallets: $14 ids, $15 balances, $16 versions, $17 held, $18 overdraft limits, $19 greatest balances, $20 times
--      of the last line of history, $21 closed, $22 merged into, $23 and $24 frozen outgoing and incoming,
--      $25 and $26 limits per day and month, $27 next due, $28 lot balances;
--      backdated entries: $29 positions, $30 changes, $31 effective times, $32 wallets, $33 transactions;
--      holds: $34 ids, $35 wallets, $36 assets, $37 targets, $38 amounts, $39 captured, $40 released, $41 expiries,
--      $42 captured at expiry, $43 statuses, $44 created, $45 lots and $46 amounts of slices, each as an array's text,
--      $47 whether lots go along;
--      hold steps: $48 transactions, $49 holds, $50 wallets, $51 versions, $52 kinds, $53 changes of held, $54 held
--      after, $55 captured, $56 released, $57 expiries;
--      lots: $58 ids, $59 wallets, $60 assets, $61 categories, $62 priorities, $63 expiries, $64 opened, $65 opened by,
--      $66 amounts, $67 remainders, $68 held, $69 times expired, $70 programmes;
--      lot moves: $71 transactions, $72 ordinals, $73 lots, $74 wallets, $75 changes, $76 changes of held;
--      wallet events: $77 ids, $78 wallets, $79 versions, $80 kinds, $81 changes as text;
--      refund states: $82 originals, $83 amounts, $84 counts (a row is locked, or its original is of this batch)
-- out: how many rows of each kind were written; the caller compares
-- why: it takes one round trip for any number of rows, and writes each row once, in its final state, and history in
--      lines. Transactions are inserted in order of their unique key, as in write_batch
WITH posted AS (
    INSERT INTO transactions (
        seq, created_at, effective_at, shard, id, hold_id, refund_of, origin, reference_id, type, fingerprint,
        metadata, details
    )
    SELECT $2, $3, t.effective_at, $1, t.id, t.hold_id, t.refund_of, t.origin, t.reference_id, t.type,
           t.fingerprint, t.metadata, t.details
      FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::timestamptz[],
                  $11::uuid[], $12::uuid[], $13::text[])
             AS t (id, origin, reference_id, type, fingerprint, metadata, effective_at, hold_id, refund_of, details)
     ORDER BY t.reference_id COLLATE "C", t.origin COLLATE "C"
    RETURNING 1
),
changed AS (
    UPDATE wallets
       SET balance = w.balance, version = w.version, held = w.held, overdraft_limit = w.overdraft_limit,
           max_balance = w.max_balance, last_entry_at = w.last_entry_at,
           -- One that was closed may have been reopened and closed again within the batch.
           closed_at = CASE
                           WHEN NOT w.closed THEN NULL
                           WHEN w.id = ANY(ARRAY(
                                SELECT e.wallet_id
                                  FROM unnest($78::uuid[], $80::text[]) AS e (wallet_id, kind)
                                 WHERE e.kind IN ('close', 'merge_out')
                           )) THEN $3
                           ELSE wallets.closed_at
                       END,
           merged_into = w.merged_into, freeze_outgoing = w.freeze_outgoing, freeze_incoming = w.freeze_incoming,
           limit_day = w.limit_day, limit_month = w.limit_month, next_due_at = w.next_due_at,
           lot_balance = w.lot_balance
      FROM unnest($14::uuid[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
                  $20::timestamptz[], $21::boolean[], $22::uuid[], $23::boolean[], $24::boolean[],
                  $25::bigint[], $26::bigint[], $27::timestamptz[], $28::bigint[])
             AS w (id, balance, version, held, overdraft_limit, max_balance, last_entry_at, closed, merged_into,
                   freeze_outgoing, freeze_incoming, limit_day, limit_month, next_due_at, lot_balance)
     WHERE wallets.shard = $1 AND wallets.id = w.id
    RETURNING 1
),
backdated AS (
    INSERT INTO backdated_entries (effective_at, created_at, position, change, shard, wallet_id, transaction_id)
    SELECT b.effective_at, $3, b.position, b.change, $1, b.wallet_id, b.transaction_id
      FROM unnest($29::bigint[], $30::bigint[], $31::timestamptz[], $32::uuid[], $33::uuid[])
             AS b (position, change, effective_at, wallet_id, transaction_id)
    RETURNING 1
),
held AS (
    INSERT INTO holds (
        amount, captured, released, created_at, expires_at, asset_id, shard, capture_at_expiry, id, wallet_id,
        target_wallet_id, status, slice_lots, slice_amounts, carries_lots
    )
    SELECT h.amount, h.captured, h.released, h.created_at, h.expires_at, h.asset_id, $1, h.capture_at_expiry, h.id,
           h.wallet_id, h.target_wallet_id, h.status, h.slice_lots::uuid[], h.slice_amounts::bigint[],
           h.carries_lots
      FROM unnest($34::uuid[], $35::uuid[], $36::integer[], $37::uuid[], $38::bigint[], $39::bigint[], $40::bigint[],
                  $41::timestamptz[], $42::boolean[], $43::text[], $44::timestamptz[], $45::text[], $46::text[],
                  $47::boolean[])
             AS h (id, wallet_id, asset_id, target_wallet_id, amount, captured, released, expires_at,
                   capture_at_expiry, status, created_at, slice_lots, slice_amounts, carries_lots)
    ON CONFLICT (shard, id) DO UPDATE
       SET amount = excluded.amount, captured = excluded.captured, released = excluded.released,
           expires_at = excluded.expires_at, wallet_id = excluded.wallet_id, status = excluded.status,
           slice_lots = excluded.slice_lots, slice_amounts = excluded.slice_amounts,
           carries_lots = excluded.carries_lots
    RETURNING 1
),
stepped AS (
    INSERT INTO hold_steps (
        position, held_change, held_after, captured, released, created_at, expires_at, shard, wallet_id, hold_id,
        transaction_id, kind
    )
    SELECT s.version, s.held_change, s.held_after, s.captured, s.released, $3, s.expires_at, $1, s.wallet_id,
           s.hold_id, s.transaction_id, s.kind
      FROM unnest($48::uuid[], $49::uuid[], $50::uuid[], $51::bigint[], $52::text[], $53::bigint[], $54::bigint[],
                  $55::bigint[], $56::bigint[], $57::timestamptz[])
             AS s (transaction_id, hold_id, wallet_id, version, kind, held_change, held_after, captured, released,
                   expires_at)
    RETURNING 1
),
parcelled AS (
    INSERT INTO lots (
        amount, remaining, held, opened_at, expires_at, asset_id, expiries, shard, priority, id, wallet_id, opened_by,
        programme_id, category
    )
    SELECT l.amount, l.remaining, l.held, l.opened_at, l.expires_at, l.asset_id, l.expiries, $1, l.priority, l.id,
           l.wallet_id, l.opened_by, l.programme_id, l.category
      FROM unnest($58::uuid[], $59::uuid[], $60::integer[], $61::text[], $62::smallint[], $63::timestamptz[],
                  $64::timestamptz[], $65::uuid[], $66::bigint[], $67::bigint[], $68::bigint[], $69::integer[],
                  $70::uuid[])
             AS l (id, wallet_id, asset_id, category, priority, expires_at, opened_at, opened_by, amount, remaining,
                   held, expiries, programme_id)
    ON CONFLICT (shard, id) DO UPDATE
       SET remaining = excluded.remaining, held = excluded.held, expiries = excluded.expiries,
           wallet_id = excluded.wallet_id
    RETURNING 1
),
drawn AS (
    INSERT INTO lot_moves (change, held_change, created_at, ordinal, shard, lot_id, wallet_id, transaction_id)
    SELECT m.change, m.held_change, $3, m.ordinal, $1, m.lot_id, m.wallet_id, m.transaction_id
      FROM unnest($71::uuid[], $72::integer[], $73::uuid[], $74::uuid[], $75::bigint[], $76::bigint[])
             AS m (transaction_id, ordinal, lot_id, wallet_id, change, held_change)
    RETURNING 1
),
happened AS (
    INSERT INTO wallet_events (seq, position, created_at, shard, wallet_id, id, kind, changes)
    SELECT $2, e.version, $3, $1, e.wallet_id, e.id, e.kind, e.changes
      FROM unnest($77::uuid[], $78::uuid[], $79::bigint[], $80::text[], $81::text[])
             AS e (id, wallet_id, version, kind, changes)
    RETURNING 1
),
refunded AS (
    INSERT INTO refund_states (refunded, refunds, shard, original_id)
    SELECT r.refunded, r.refunds, $1, r.original_id
      FROM unnest($82::uuid[], $83::bigint[], $84::integer[]) AS r (original_id, refunded, refunds)
    ON CONFLICT (shard, original_id) DO UPDATE
       SET refunded = excluded.refunded, refunds = excluded.refunds
    RETURNING 1
)
SELECT (SELECT count(*) FROM posted) AS transactions,
       (SELECT count(*) FROM changed) AS wallets,
       (SELECT count(*) FROM backdated) AS backdated_entries,
       (SELECT count(*) FROM held) AS holds,
       (SELECT count(*) FROM stepped) AS hold_steps,
       (SELECT count(*) FROM parcelled) AS lots,
       (SELECT count(*) FROM drawn) AS lot_moves,
       (SELECT count(*) FROM happened) AS wallet_events,
       (SELECT count(*) FROM refunded) AS refund_states;

-- name: name_wallets
-- in:  $1 shard, $2 wallets, $3 whether there is a new label, $4 label, $5 whether there is new metadata, $6 metadata
-- out: how many wallets were changed
-- why: nothing is decided on these, so they are no part of a wallet's state; only this statement changes them
WITH named AS (
    UPDATE wallets
       SET label = CASE WHEN w.has_label THEN w.label ELSE wallets.label END,
           metadata = CASE WHEN w.has_metadata THEN w.metadata ELSE wallets.metadata END
      FROM unnest($2::uuid[], $3::boolean[], $4::text[], $5::boolean[], $6::text[])
             AS w (id, has_label, label, has_metadata, metadata)
     WHERE wallets.shard = $1 AND wallets.id = w.id
    RETURNING 1
)
SELECT count(*) AS wallets FROM named;

-- name: move_attachments
-- in:  $1 shard, $2 decided_at, $3 programmes, $4 wallets they were attached to, $5 wallets they go to, or null
-- out: how many ended and how many began
-- why: the old row stays and says when it ended. The new wallet may have an earlier row, which has ended
WITH moved AS MATERIALIZED (
    SELECT m.target_wallet_id, stored.*
      FROM unnest($3::uuid[], $4::uuid[], $5::uuid[]) AS m (programme_id, wallet_id, target_wallet_id)
     CROSS JOIN LATERAL (
            SELECT attached.programme_id, attached.wallet_id, attached.anchor_at, attached.next_at,
                   attached.next_period
              FROM programme_wallets AS attached
             WHERE attached.shard = $1
               AND attached.programme_id = m.programme_id
               AND attached.wallet_id = m.wallet_id
               AND attached.ended_at IS NULL
            OFFSET 0
           ) AS stored
),
ended AS (
    UPDATE programme_wallets AS attached
       SET ended_at = $2, next_at = NULL
      FROM moved
     WHERE attached.shard = $1
       AND attached.programme_id = moved.programme_id
       AND attached.wallet_id = moved.wallet_id
    RETURNING 1
),
begun AS (
    INSERT INTO programme_wallets (anchor_at, next_at, next_period, shard, programme_id, wallet_id)
    SELECT moved.anchor_at, moved.next_at, moved.next_period, $1, moved.programme_id, moved.target_wallet_id
      FROM moved
     WHERE moved.target_wallet_id IS NOT NULL
    ON CONFLICT (shard, programme_id, wallet_id) DO UPDATE
       SET anchor_at = excluded.anchor_at, next_at = excluded.next_at, next_period = excluded.next_period,
           ended_at = NULL
    RETURNING 1
)
SELECT (SELECT count(*) FROM ended) AS ended, (SELECT count(*) FROM begun) AS begun;

-- name: advance_attachments
-- in:  $1 shard, $2 programmes, $3 wallets, $4 the first periods granted or skipped, $5 the next ones
-- out: how many were as expected and have moved on by one or more periods
-- why: compare and set: a period is granted once, whichever request comes first. Each start is computed from the
--      anchor, so that a short month does not shift the later ones
WITH due AS (
    SELECT granted.programme_id, granted.wallet_id, granted.next_period, programme.ends_at,
           (stored.anchor_at AT TIME ZONE 'UTC'
            + granted.next_period * CASE programme.per
                                         WHEN 'day' THEN interval '1 day'
                                         WHEN 'week' THEN interval '7 days'
                                         ELSE interval '1 month'
                                    END) AT TIME ZONE 'UTC' AS starts_at
      FROM unnest($2::uuid[], $3::uuid[], $4::integer[], $5::integer[])
             AS granted (programme_id, wallet_id, period, next_period)
     CROSS JOIN LATERAL (
            SELECT attached.anchor_at
              FROM programme_wallets AS attached
             WHERE attached.shard = $1
               AND attached.programme_id = granted.programme_id
               AND attached.wallet_id = granted.wallet_id
               AND attached.next_period = granted.period
               AND attached.ended_at IS NULL
            OFFSET 0
           ) AS stored
     CROSS JOIN LATERAL (
            SELECT programmes.per, programmes.ends_at
              FROM programmes
             WHERE programmes.shard = $1 AND programmes.id = granted.programme_id
            OFFSET 0
           ) AS programme
),
advanced AS (
    UPDATE programme_wallets AS attached
       SET next_period = due.next_period,
           next_at = CASE WHEN due.ends_at IS NULL OR due.starts_at < due.ends_at THEN due.starts_at END
      FROM due
     WHERE attached.shard = $1 AND attached.programme_id = due.programme_id AND attached.wallet_id = due.wallet_id
    RETURNING 1
)
SELECT count(*) AS advanced FROM advanced;

-- name: write_claims
-- in:  $1 shard, $2 decided_at, claims: $3 ids, $4 amounts, $5 uses, $6 whether once per user, $7 hashes of codes;
--      redemptions that are noted: $8 claims, $9 users, $10 transactions
-- out: how many rows of each kind were written; the caller compares
WITH placed AS (
    INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)
    SELECT c.amount, $2, c.uses, $1, c.once_per_user, c.id, c.code_hash
      FROM unnest($3::uuid[], $4::bigint[], $5::integer[], $6::boolean[], $7::bytea[])
             AS c (id, amount, uses, once_per_user, code_hash)
    RETURNING 1
),
redeemed AS (
    INSERT INTO claim_redemptions (shard, claim_id, user_id, transaction_id)
    SELECT $1, r.claim_id, r.user_id, r.transaction_id
      FROM unnest($8::uuid[], $9::uuid[], $10::uuid[]) AS r (claim_id, user_id, transaction_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM placed) AS claims, (SELECT count(*) FROM redeemed) AS redemptions;
