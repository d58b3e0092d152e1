-- Makes users, wallets and assets. An id or code that is taken makes no error: nothing is inserted, and the caller
-- reads the resource that has it, in a statement of its own, which sees the row that the insert waited for.

-- name: insert_user
-- in:  $1 shard smallint, $2 id uuid, $3 name text, $4 metadata text or null
-- out: one row if it was inserted
INSERT INTO users (created_at, shard, id, name, metadata)
VALUES (ledger_now(), $1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: find_asset_id
-- in:  $1 code text or null, $2 id integer or null
-- out: the id of the asset that all given parameters describe, or no row
SELECT id
  FROM assets
 WHERE ($1::text IS NULL OR code = $1::text)
   AND ($2::integer IS NULL OR id = $2::integer);

-- name: insert_wallet
-- in:  $1 shard smallint, $2 id uuid, $3 asset integer, $4 user uuid or null, $5 label text or null, $6 metadata text
--      or null, $7 whether to keep what can be changed later as it is now
-- out: one row if it was inserted
WITH made AS (
    INSERT INTO wallets (created_at, asset_id, shard, locked, id, user_id, kind, label, metadata)
    VALUES (ledger_now(), $3, $1, true, $2, $4, 'user', $5, $6)
    ON CONFLICT DO NOTHING
    RETURNING id
),
kept AS (
    INSERT INTO wallet_creations (shard, wallet_id, label, metadata)
    SELECT $1, made.id, $5, $6 FROM made WHERE $7
)
SELECT id FROM made;

-- name: find_wallet_creation
-- in:  $1 shard smallint, $2 id uuid
-- out: the fields that the wallet was made with, or no row: the client did not give its id
SELECT label, metadata
  FROM wallet_creations
 WHERE shard = $1 AND wallet_id = $2;

-- name: lock_assets
-- out: nothing; held until the end of the database transaction (0x617373657473, "assets")
-- why: assets are made rarely. If they are made one after another, no two race for a code, for an id, or for the
--      sequence that an explicit id moves on
SELECT pg_advisory_xact_lock(107148485162099);

-- name: find_assets_in_the_way
-- in:  $1 code text, $2 id integer or null
-- out: assets with this code or id, and the policy they were made with (null: the default one)
SELECT id, code, scale, max_supply, made_draw_order, made_on_refund_to_expired, made_grace_seconds,
       treasury_wallet_id, revenue_wallet_id, breakage_wallet_id
  FROM assets
 WHERE code = $1 OR id = $2::integer;

-- name: insert_asset
-- in:  $1 shard smallint, $2 id integer or null, $3 code, $4 scale, $5 max_supply bigint or null,
--      policy: $6 draw_order, $7 on_refund_to_expired, $8 grace_seconds,
--      ids of its wallets: $9 treasury, $10 revenue, $11 breakage
-- out: the id (null: the asset was not inserted) and how many of its three wallets were
-- why: an asset exists with its system wallets or not at all. Its id is above all others, also where the sequence is
--      behind them; they are made one after another. A capped treasury is locked, because its balance
--      decides; it may go below zero by as much as the cap, and is locked last, because every top-up needs it
WITH made AS (
    INSERT INTO assets (
        id, scale, code, max_supply, draw_order, on_refund_to_expired, grace_seconds, made_draw_order,
        made_on_refund_to_expired, made_grace_seconds, treasury_wallet_id, revenue_wallet_id, breakage_wallet_id,
        created_at
    )
    VALUES (
        coalesce(
            $2::integer,
            greatest(
                nextval(pg_get_serial_sequence('assets', 'id')), (SELECT max(earlier.id) + 1 FROM assets AS earlier)
            )
        ), $4, $3, $5, $6, $7, $8, $6, $7, $8,
        $9, $10, $11, ledger_now()
    )
    ON CONFLICT DO NOTHING
    RETURNING id, created_at
),
opened AS (
    INSERT INTO wallets (overdraft_limit, created_at, asset_id, shard, locked, hot, id, kind)
    SELECT CASE WHEN w.capped THEN $5 ELSE 0 END, made.created_at, made.id, $1,
           w.capped, w.capped, w.id, w.kind  -- noqa: AL08
      FROM made,
           (VALUES ($9::uuid, 'treasury', $5::bigint IS NOT NULL), ($10::uuid, 'revenue', false),
                   ($11::uuid, 'breakage', false)) AS w (id, kind, capped)
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT (SELECT id FROM made) AS id,
       (SELECT count(*) FROM opened) AS wallets;

-- name: change_asset
-- in:  $1 id integer, policy, null where it stays: $2 draw_order, $3 on_refund_to_expired, $4 grace_seconds
-- out: the id, or no row
UPDATE assets
   SET draw_order = coalesce($2::text, draw_order),
       on_refund_to_expired = coalesce($3::text, on_refund_to_expired),
       grace_seconds = coalesce($4::integer, grace_seconds)
 WHERE id = $1
RETURNING id;

-- name: move_asset_ids_on
-- why: the sequence must not give an id later that a client has chosen
SELECT setval(pg_get_serial_sequence('assets', 'id'), (SELECT max(id) FROM assets));
